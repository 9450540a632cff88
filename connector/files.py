"""Files: reads those in settings without ever blocking, and writes those that only their owner may read.

Symbolic links are followed: Kubernetes mounts secrets as links.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

_AT_ONCE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_TO_WRITE = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
_OWNER_ONLY = 0o600
_NO_FILE = "is a pipe, a device or a socket, not a file"
_FOLDER = "is a folder, not a file"


def why_not_a_file(path: Path, *, may_be_folder: bool = False) -> str | None:
    """Return why `path` is not a readable regular file, or None if it is."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    except PermissionError:
        return f"cannot be read: {_forbidden(path)}"
    except (OSError, ValueError):  # a path with a NUL character is a `ValueError`
        return "cannot be read"
    if stat.S_ISDIR(mode) and not may_be_folder:
        return _FOLDER
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return _NO_FILE
    return None if os.access(path, os.R_OK) else f"cannot be read: {_forbidden(path)}"


def _forbidden(path: Path) -> str:
    """Return who may not read a file, whose it is, and how to let it be read."""
    user, group = os.geteuid(), os.getegid()
    reader = f"this process runs as user {user} and group {group}"
    try:
        found = path.stat()
    except OSError:
        return f"{reader}, which may not enter a folder on the way: give it the execute permission (chmod o+x)"
    return (
        f"{reader}, and the file belongs to user {found.st_uid} and group {found.st_gid} with mode "
        f"{stat.S_IMODE(found.st_mode):04o}: make it the process's own (chown {user}, chmod 400)"
    )


def read_small_file(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a regular file. Raises `OSError` for any other, and above the limit."""
    try:
        descriptor = os.open(path, _AT_ONCE)
    except PermissionError:
        raise PermissionError(f"{path}: {_forbidden(path)}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(_NO_FILE)
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(f"holds more than {limit_bytes // 1024} KiB")
    return content


def open_private(path: Path) -> BinaryIO:
    """Open a file for writing from its beginning; a new one is private to its owner. Raises `OSError`."""
    return os.fdopen(os.open(path, _TO_WRITE | os.O_TRUNC, _OWNER_ONLY), "wb")


def replace_private(path: Path) -> BinaryIO:
    """Open a new private file that replaces whatever is at `path`, even a link. Raises `OSError`."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, _TO_WRITE | os.O_EXCL, _OWNER_ONLY), "wb")
