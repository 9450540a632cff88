"""The commands, by what they are about; `cli` puts them together.

Each imports what it needs when it is called, so that it starts fast and none needs another's extra.
"""
