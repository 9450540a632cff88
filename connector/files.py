"""Files that settings name: which may be read, and reading a small one, neither of which ever waits.

A symbolic link counts as what it leads to: Kubernetes mounts secrets as links.
"""

import os
import stat
from pathlib import Path

_AT_ONCE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_NO_FILE = "is a pipe, a device or a socket, not a file"
_FOLDER = "is a folder, not a file"


def why_not_a_file(path: Path, *, may_be_folder: bool = False) -> str | None:
    """Return why `path` is no regular file that can be read, or None where it is one."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except (OSError, ValueError):  # a path with a NUL character is a `ValueError`
        return "cannot be read"
    if stat.S_ISDIR(mode) and not may_be_folder:
        return _FOLDER
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return _NO_FILE
    return None if os.access(path, os.R_OK) else "cannot be read"


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """Return what a regular file holds. Raises `OSError` for any other, and where it holds more than the limit."""
    with os.fdopen(os.open(path, _AT_ONCE), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(_NO_FILE)
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(f"holds more than {limit_bytes // 1024} KiB")
    return content
