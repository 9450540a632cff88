"""Batch compliance: ask X about stored ids, and account for every id and every answer."""
