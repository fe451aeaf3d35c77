"""Plain lines on the terminal, which may go away at any time.

What others wrote (close reasons, file names, ids) never steers it: see :mod:`wattbook.text`.
"""

from __future__ import annotations

import json
import sys
from codecs import iterdecode
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, TextIO

from wattbook.text import shown_json, shown_lines


def say(line: str) -> None:
    """One line on standard output at once; a terminal that is gone is no reason to fail."""
    _print(line, sys.stdout)


def complain(line: str) -> None:
    """One line on standard error."""
    _print(line, sys.stderr)


def _print(line: str, stream: TextIO) -> None:
    with suppress(OSError, ValueError):
        print(shown_lines(line), file=stream, flush=True)


def pass_through(chunks: Iterable[bytes]) -> None:
    """Bytes as they come, for a pipe; a last line is ended. On a terminal they are shown as text is.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    if sys.stdout.isatty():
        chunks = _shown(chunks)
    sys.stdout.flush()
    last = b""
    for chunk in chunks:
        sys.stdout.buffer.write(chunk)
        last = chunk or last
    if last and not last.endswith(b"\n"):
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()


def _shown(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for text in iterdecode(chunks, "utf-8", "replace"):
        yield shown_lines(text.replace("\r\n", "\n")).encode()


def counted(number: int, noun: str) -> str:
    """``1 trade``, ``1,234 trades``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def exact_json(value: Any) -> str:
    """JSON on one line, with its decimals as written."""
    if isinstance(value, Mapping):
        parts = (f"{json.dumps(name)}:{exact_json(each)}" for name, each in value.items())
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(exact_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else shown_json(json.dumps(value, ensure_ascii=False))
