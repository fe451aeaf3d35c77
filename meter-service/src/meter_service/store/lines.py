"""Lines of a flow file's original, as they came."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from meter_service.store.files import original

LONGEST_SHOWN = 2000
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def raw_lines(file_id: int, numbers: Collection[int]) -> dict[int, str]:
    """The lines of these numbers, counted from 1 in the physical file; each cut at :data:`LONGEST_SHOWN`."""
    wanted = {number for number in numbers if number > 0}
    last = max(wanted, default=0)
    found: dict[int, str] = {}
    for number, line in enumerate(_lines(original(file_id)), start=1):
        if number > last:
            break
        if number in wanted:
            found[number] = line[:LONGEST_SHOWN]
    return found


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest, encoding, newline = b"", "", b"\n"
    for piece in pieces:
        if not encoding:
            is_wide = piece[:2] in _UTF16
            encoding = ("utf-16-le" if piece[:2] == _UTF16[0] else "utf-16-be") if is_wide else "utf-8"
            newline = "\n".encode(encoding)
        *whole, rest = (rest + piece).split(newline)
        yield from (_text(line, encoding) for line in whole)
    yield _text(rest, encoding)


def _text(line: bytes, encoding: str) -> str:
    try:
        text = line.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        text = line.decode("cp1252", errors="replace")
    return text.strip("\r\ufeff")
