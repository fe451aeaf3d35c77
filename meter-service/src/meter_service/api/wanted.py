"""What somebody looks for: NMIs, serial numbers and filters, as they are typed into the search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from urllib.parse import urlencode

from wattbook.errors import InvalidInput

from meter_service.domain.codes import QUALITIES
from meter_service.domain.nmi import check_digit, is_nmi
from meter_service.models import MARKET_TIME
from meter_service.store.browse import Filters, Place

MOST_WORDS = 200
LONGEST_WORD = 40
LONGEST_SEARCH = MOST_WORDS * (LONGEST_WORD + 1)
CHECKED_LENGTH = 11  # an NMI with its check digit
_SECOND = timedelta(seconds=1)
_EVERYTHING = Filters()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search; ``words`` are in upper case, ``doubts`` what may be wrong with them."""

    text: str = ""
    words: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    filters: Filters = _EVERYTHING
    from_day: str = ""
    to_day: str = ""

    def address(self, **more: object) -> str:
        """The query of this search, with or without some fields."""
        said = {
            "q": self.text,
            "from": self.from_day,
            "to": self.to_day,
            "quality": self.filters.quality,
            "versions": "all" if self.filters.all_versions else "",
            "file": self.filters.file_id or "",
            **more,
        }
        return "?" + urlencode({name: value for name, value in said.items() if value != ""})

    @property
    def is_narrowed(self) -> bool:
        """Whether a filter leaves some readings out."""
        return replace(self.filters, all_versions=False) != _EVERYTHING


def wanted(asked: Mapping[str, str]) -> Wanted:
    """The search of an address.

    Raises:
        InvalidInput: says what would be right.
    """
    text = asked.get("q", "").strip()
    if len(text) > LONGEST_SEARCH:
        raise InvalidInput(f"Look for at most {MOST_WORDS} NMIs or serial numbers at once.")
    words, doubts = _words(text)
    from_day, to_day = asked.get("from", ""), asked.get("to", "")
    first, last = _midnight(from_day, "from"), _midnight(to_day, "to")
    if first and last and first > last:
        raise InvalidInput(f"The first day, {from_day}, is after the last one, {to_day}.")
    quality = asked.get("quality", "")
    if quality and quality not in QUALITIES:
        raise InvalidInput(f"There is no quality {quality[:20]!r}; known are {', '.join(QUALITIES)}.")
    file = asked.get("file", "")
    if file and not (file.isdecimal() and file.isascii() and len(file) < CHECKED_LENGTH):
        raise InvalidInput("A flow file is named by its number.")
    filters = Filters(
        from_at=first,
        to_at=last + timedelta(days=1) if last else None,
        quality=quality,
        all_versions=asked.get("versions") == "all",
        file_id=int(file) if file else None,
    )
    return Wanted(text, words, doubts, filters, from_day, to_day)


def place_of(text: str) -> Place | None:
    """Where a page begins, by what :func:`place_text` wrote; None where nothing is said.

    Raises:
        InvalidInput: it is none of ours.
    """
    if not text:
        return None
    parts = text.split(".")
    if len(parts) != 3 or not all(part.lstrip("-").isdecimal() and len(part) < 20 for part in parts):
        raise InvalidInput("This address does not belong to a page of this search.")
    register_id, seconds, reading_id = map(int, parts)
    try:
        return Place(register_id, datetime.fromtimestamp(0, MARKET_TIME) + seconds * _SECOND, reading_id)
    except OverflowError:
        raise InvalidInput("This address does not belong to a page of this search.") from None


def place_text(register_id: int, read_at: datetime, reading_id: int) -> str:
    """A place in an address."""
    return f"{register_id}.{int(read_at.timestamp())}.{reading_id}"


def _words(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    joined = "".join(text.split()).upper()
    separate = text.upper().replace(",", " ").replace(";", " ").split()
    if is_nmi(joined) or (len(joined) == CHECKED_LENGTH and is_nmi(joined[:-1]) and joined[-1].isdecimal()):
        separate = [joined]  # typed in groups
    words = list(dict.fromkeys(separate))
    if len(words) > MOST_WORDS:
        raise InvalidInput(f"Look for at most {MOST_WORDS} NMIs or serial numbers at once, not {len(words)}.")
    if any(len(word) > LONGEST_WORD for word in words):
        raise InvalidInput("An NMI has 10 characters, a serial number at most 12; one of these has more.")
    doubts = []
    for place, word in enumerate(words):
        if len(word) == CHECKED_LENGTH and is_nmi(word[:-1]) and word[-1].isdecimal():
            digit = check_digit(word[:-1])
            if word[-1] == digit:
                words[place] = word[:-1]
            else:
                doubts.append(f"As an NMI {word[:-1]} would have the check digit {digit}, not {word[-1]}.")
    return tuple(words), tuple(doubts)


def _midnight(text: str, name: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{name}: {text[:20]!r} is no day; write it as 2026-11-29.") from None
    return datetime(day.year, day.month, day.day, tzinfo=MARKET_TIME)
