"""Words of others that would command a terminal, and what is shown of them."""

HOSTILE = "x\x1b[2J\x1b]0;y\x07\x9b1m\u202e\u200b\r\nok: everything\nno gaps"
SEEN = r"x\x1b[2J\x1b]0;y\x07\x9b1m\u202e\u200b\r\nok: everything\nno gaps"
