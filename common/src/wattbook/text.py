"""Text from outside: which names are fit to be kept, and how any of it is shown.

Two names that look alike must be the same name. So a name has no space at either end, nothing that cannot be
seen, no space but ASCII's, and it is composed (NFC). Nothing is ever trimmed or composed for its sender.
"""

from __future__ import annotations

import json
import re
import unicodedata

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt), and U+2800, a letter without ink.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What a spreadsheet takes for a formula, at the start of a cell, whichever separator it splits at.
_FORMULA = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@\uff1d\uff0b\uff0d\uff20])")
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"})
_MOST_NAMED = 40


def id_problem(text: str) -> str:
    """What makes a text unfit to be an id, naming the character and its place; ``""`` where nothing does."""
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    if not text.isprintable() or _IGNORABLE.search(text):
        for place, sign in enumerate(text):
            if _is_invisible(sign):
                return f"{_character(text, place)} cannot be seen"
    if text.strip(" ") != text:
        place = 0 if text[0] == " " else len(text) - 1
        return f"{_character(text, place)} stands at the {'end' if place else 'beginning'}"
    if not unicodedata.is_normalized("NFC", text):
        pairs = enumerate(zip(text, unicodedata.normalize("NFC", text) + "\0", strict=False))
        place = next((place for place, (own, other) in pairs if own != other), len(text) - 1)
        return f"{_character(text, place)} is not composed with what follows it (NFC)"
    return ""


def trader_id_problem(text: str) -> str:
    """The same of a trader's id, which is part of addresses too: there ``.`` and ``..`` mean a folder."""
    return f"{text!r} has no page of its own" if text in (".", "..") else id_problem(text)


def without_formula(cell: str) -> str:
    """A cell of a CSV file that no spreadsheet runs: an apostrophe stands before what would be a formula."""
    return _FORMULA.sub(r"\1'", cell)


def shown(text: str) -> str:
    r"""Text from outside for a terminal or a log: what would steer one is written out (``\x1b``)."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def shown_lines(text: str) -> str:
    """The same of text of several lines, which stay lines."""
    return text if text.isprintable() else "\n".join(map(shown, text.split("\n")))


def shown_json(text: str) -> str:
    r"""The same of JSON without line ends, which stays the same JSON (``\u001b``)."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)


def _is_invisible(sign: str) -> bool:
    if sign == " ":
        return False
    return unicodedata.category(sign) in _INVISIBLE or _IGNORABLE.match(sign) is not None


def _character(text: str, place: int) -> str:
    sign = text[place]
    name = unicodedata.name(sign, "")[:_MOST_NAMED]
    return f"character {place + 1} (U+{ord(sign):04X}{' ' if name else ''}{name})"
