"""The physical lines of a flow file, whatever wrote it, in bounded memory.

A record never spans lines (a line break within quotes is an error), so lines are cut before fields are.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from meter_service.domain.problems import Findings

LONGEST_LINE = 65_536
PIECE_BYTES = 65_536  # what is made of one stays within a processor's cache
_LONGEST_LINE_BYTES = 4 * LONGEST_LINE
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Unreadable(Exception):  # named as what it is
    """The rest of a file has no lines that could be read."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that follow each other, without their ends; ``first`` is the number of the first, from 1.

    ``is_plain``: all are ASCII without quotes and NULs.
    """

    first: int
    lines: list[str]
    is_plain: bool


def blocks(chunks: Iterable[bytes], findings: Findings) -> Iterator[Block]:
    """The lines of ``chunks``.

    Raises:
        Unreadable: noted as an error: a line is too long, or UTF-16 is torn. What came before was given.
    """
    first = 1
    try:
        for piece in _whole_lines(_utf8(chunks)):
            text = _decoded(piece, first, findings)
            is_plain = text.isascii() and '"' not in text and "\0" not in text
            if "\r" in text:
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            lines = text.split("\n")
            if not lines[-1]:  # what follows the last line end is no line
                lines.pop()
            if max(map(len, lines)) > LONGEST_LINE:
                at = next(at for at, line in enumerate(lines) if len(line) > LONGEST_LINE)
                yield Block(first, lines[:at], is_plain)
                findings.error(first + at, "", "", lines[at], "a line of at most 64 KiB")
                raise Unreadable
            yield Block(first, lines, is_plain)
            first += len(lines)
    except UnicodeDecodeError:
        findings.error(first, "", "", "", "whole UTF-16 text, as the file's first bytes say")
        raise Unreadable from None


def _utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks without a byte order mark, in UTF-8 where it says UTF-16."""
    rest = iter(chunks)
    start = b""
    for chunk in rest:
        start += chunk
        if len(start) >= len(codecs.BOM_UTF8):
            break
    if not start.startswith(_UTF16):
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from rest
        return
    decoder = codecs.getincrementaldecoder("utf-16")()
    yield decoder.decode(start).encode()
    for chunk in rest:
        yield decoder.decode(chunk).encode()
    yield decoder.decode(b"", final=True).encode()


def _whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces that end where a line does; a line that is too long ends a piece, too."""
    held = b""
    for piece in (
        chunk[at : at + PIECE_BYTES] for chunk in chunks for at in range(0, len(chunk), PIECE_BYTES)
    ):
        held += piece
        end = held.rfind(b"\n") + 1
        if not end and len(held) > LONGEST_LINE:
            end = held.rfind(b"\r", 0, -1) + 1  # not the last byte: its "\n" may follow
        if end:
            yield held[:end]
            held = held[end:]
        if len(held) > _LONGEST_LINE_BYTES:
            break
    if held:
        yield held


def _decoded(piece: bytes, first: int, findings: Findings) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "".join(_lines_decoded(piece, first, findings))


def _lines_decoded(piece: bytes, first: int, findings: Findings) -> Iterator[str]:
    """Line by line, those that are not UTF-8 as Windows-1252."""
    for number, line in enumerate(piece.splitlines(keepends=True), start=first):
        try:
            yield line.decode()
        except UnicodeDecodeError:
            findings.warn("cp1252", number)
            yield line.decode("cp1252", errors="replace")
