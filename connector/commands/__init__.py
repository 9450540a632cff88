"""The commands, by what they are about; `cli` puts them together.

Each imports what it needs when it is called: it starts fast, and needs only its own extra.
"""
