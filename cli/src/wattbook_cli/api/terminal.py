"""Plain lines on the terminal, which may go away at any time."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO


def say(line: str) -> None:
    """One line on standard output at once; a terminal that is gone is no reason to fail."""
    _print(line, sys.stdout)


def complain(line: str) -> None:
    """One line on standard error."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        print(line, file=stream, flush=True)


def pass_through(content: bytes) -> None:
    """Bytes as they came, for a pipe.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    if content and not content.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
