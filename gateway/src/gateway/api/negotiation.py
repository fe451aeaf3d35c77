"""Which form of body came, and which form of answer is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from wattbook.errors import NotAcceptable, UnsupportedMediaType

_LONGEST_ACCEPT = 1024
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii"})


def chosen_type(accept: str | None, offered: tuple[str, ...]) -> str:
    """The media type of ``offered`` that an ``Accept`` header likes best; the first where it does not care.

    Raises:
        NotAcceptable: none of them.
    """
    if not accept or accept == "*/*":
        return offered[0]
    if len(accept) > _LONGEST_ACCEPT:
        raise NotAcceptable("Accept: too long")
    return _best(accept, offered)


@lru_cache(maxsize=1024)
def _best(accept: str, offered: tuple[str, ...]) -> str:
    wishes = [_wish(part) for part in accept.split(",")]
    best, best_quality = "", 0.0
    for candidate in offered:
        quality = _quality(candidate, wishes)
        if quality > best_quality:
            best, best_quality = candidate, quality
    if not best:
        raise NotAcceptable(f"this can be had as {', '.join(offered)}")
    return best


def _wish(part: str) -> tuple[str, float]:
    kind, *parameters = (piece.strip() for piece in part.split(";"))
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                quality = 0.0
    return kind.lower(), quality


def _quality(candidate: str, wishes: Sequence[tuple[str, float]]) -> float:
    family = candidate.partition("/")[0]
    for pattern in (candidate, f"{family}/*", "*/*"):  # the most specific one counts
        found = [quality for kind, quality in wishes if kind == pattern]
        if found:
            return max(found)
    return 0.0


def body_type(content_type: str | None, content_encoding: str | None, taken: tuple[str, ...]) -> str:
    """The media type of a body.

    Raises:
        UnsupportedMediaType: none that is taken here, compressed, or not UTF-8.
    """
    if content_type == taken[0] and content_encoding is None:
        return taken[0]
    expected = f"expected {', '.join(taken)}"
    if content_type is None:
        raise UnsupportedMediaType(f"Content-Type: missing; {expected}")
    mime_type, *parameters = (piece.strip().lower() for piece in content_type.split(";"))
    if mime_type not in taken:
        raise UnsupportedMediaType(f"Content-Type: {expected}")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            raise UnsupportedMediaType("Content-Type: only UTF-8 is read")
    if content_encoding not in (None, "", "identity"):
        raise UnsupportedMediaType("Content-Encoding: bodies are taken as they are, not compressed")
    return mime_type
