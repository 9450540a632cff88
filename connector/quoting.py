"""Words of others as they may be shown: bounded, on one line, and without what was sent to them in confidence.

An answer may repeat what was sent with its request, so every text that comes from outside goes through here.
"""

import base64
import re
from urllib.parse import quote, unquote

QUOTE_LIMIT = 300
"""The most characters of anyone's words in a log, an error or the status."""
_HIDDEN = "[secret]"

Secrets = tuple[str, ...]
"""What was sent with a request and must not be shown."""


def basic_credentials(name: str, password: str) -> str:
    """Return a pair as a header with HTTP Basic authentication holds it (RFC 7617)."""
    return base64.b64encode(f"{name}:{password}".encode()).decode()


def shown(secrets: Secrets, text: str | bytes, limit: int = QUOTE_LIMIT) -> str:
    """Return the beginning of `text` on one line, without secrets and control characters."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    hidden = _without(secrets, words)  # before the cut, which could leave a part of a secret
    printable = "".join(letter if letter.isprintable() else " " for letter in hidden)
    return " ".join(printable.split())[:limit]


def _without(secrets: Secrets, text: str) -> str:
    """Return `text` with each secret in it hidden: as it is, percent-encoded, percent-decoded, or within JSON."""
    forms = {form for secret in secrets for form in (secret, unquote(secret), quote(secret, safe=""))}
    escaped = {form.replace("/", r"\/") for form in forms}
    patterns = [re.escape(form) for form in sorted(forms | escaped, key=len, reverse=True) if form]
    return re.sub("|".join(patterns), _HIDDEN, text, flags=re.IGNORECASE) if patterns else text
