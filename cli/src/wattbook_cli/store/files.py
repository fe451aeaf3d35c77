"""Small files written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Replace ``path`` in one step; a reader sees the old or the new content, also across a crash.

    Raises:
        OSError: it cannot be written.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}.new")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        with suppress(OSError):
            staged.unlink()
        raise


def tighten(path: Path, mode: int) -> None:
    """Take from others what ``mode`` does not give them."""
    if path.stat().st_mode & 0o777 & ~mode:
        path.chmod(mode)
