"""Which names are fit to be kept, and how text from outside is shown."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wattbook.text import id_problem, shown, shown_json, shown_lines, trader_id_problem, without_formula


@pytest.mark.parametrize(
    "text", ["t_1", "trader x", "Zürich 1", "交易", "t,1\"'", "-", "=1+1", "..", "a" * 128, "😀", "क्ष"]
)
def test_a_name_that_can_be_seen_and_typed_is_fit(text: str) -> None:
    assert id_problem(text) == ""


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("p_1 ", "character 4 (U+0020 SPACE"),
        (" p_1", "character 1 (U+0020 SPACE"),
        ("   ", "character 1 (U+0020 SPACE"),
        ("p_1\u00a0", "character 4 (U+00A0 NO-BREAK SPACE"),
        ("a\u2009b", "character 2 (U+2009 THIN SPACE"),
        ("p_\u200b1", "character 3 (U+200B ZERO WIDTH SPACE"),
        ("\ufeffp_1", "character 1 (U+FEFF"),
        ("p\u00ad1", "character 2 (U+00AD SOFT HYPHEN"),
        ("p\u202e1", "character 2 (U+202E RIGHT-TO-LEFT OVERRIDE"),
        ("p\u034f1", "character 2 (U+034F COMBINING GRAPHEME JOINER"),
        ("p\u31641", "character 2 (U+3164 HANGUL FILLER"),
        ("p\u28001", "character 2 (U+2800 BRAILLE PATTERN BLANK"),
        ("p\ufe0f", "character 2 (U+FE0F"),
        ("p\U000e0041", "character 2 (U+E0041"),
        ("p\u20281", "character 2 (U+2028 LINE SEPARATOR"),
        ("p\x1b[2J", "character 2 (U+001B"),
        ("p\x9b2J", "character 2 (U+009B"),
        ("p\t", "character 2 (U+0009"),
        ("p\x00", "character 2 (U+0000"),
        ("Ju\u0308rgen", "character 2 (U+0075"),
        ("Zu\u0308", "character 2 (U+0075"),
        ("\u212b", "character 1 (U+212B ANGSTROM SIGN"),
        ("a\u0308", "character 1 (U+0061"),
    ],
)
def test_a_name_that_looks_like_another_is_unfit_and_says_which_character(text: str, character: str) -> None:
    assert id_problem(text).startswith(character)


@given(st.text(min_size=1, max_size=20))
def test_two_fit_names_that_differ_differ_also_once_composed_and_trimmed(text: str) -> None:
    if not id_problem(text):
        assert unicodedata.normalize("NFC", text.strip()) == text


def test_no_space_and_no_control_character_of_unicode_is_fit_but_the_plain_space() -> None:
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp", "Zs"}
    signs = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in unseen)

    assert [sign for sign in signs if not id_problem(f"a{sign}b")] == [" "]


@pytest.mark.parametrize("text", [".", ".."])
def test_a_traders_id_is_none_that_an_address_takes_for_a_folder(text: str) -> None:
    assert "has no page" in trader_id_problem(text)


@pytest.mark.parametrize("text", ["...", ".a", "a.", "trader_1"])
def test_a_traders_id_may_have_dots(text: str) -> None:
    assert trader_id_problem(text) == ""


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("bye\x1b[2J\x1b]0;owned\x07", "bye\\x1b[2J\\x1b]0;owned\\x07"),
        ("a\x9bb\x7f", "a\\x9bb\\x7f"),
        ("one\ntwo\r", "one\\ntwo\\r"),
        ("a\u202eb", "a\\u202eb"),
        ("Zürich – 14", "Zürich – 14"),
        ("plain", "plain"),
    ],
)
def test_what_would_steer_a_terminal_is_written_out(text: str, plain: str) -> None:
    assert shown(text) == plain


def test_lines_stay_lines_and_json_stays_the_same_json() -> None:
    text = "a\x1b[2J\nb\x9b\u202e"
    shown_text = shown_json(json.dumps({"k": text + "\U000e0041"}, ensure_ascii=False))

    assert shown_lines(text) == "a\\x1b[2J\nb\\x9b\\u202e"
    assert shown_text.isprintable()
    assert json.loads(shown_text) == {"k": text + "\U000e0041"}


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("Acme", "Acme"),
        ("a=1", "a=1"),
        ("=1+1", "'=1+1"),
        (" @x", "' @x"),
        ("a;-1", "a;'-1"),
        ("a\n+1", "a\n'+1"),
    ],
)
def test_a_cell_of_a_file_is_no_formula(cell: str, written: str) -> None:
    assert without_formula(cell) == written
