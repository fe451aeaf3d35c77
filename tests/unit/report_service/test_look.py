"""What the pages look like, as far as it can be computed: contrast, figures, scales."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_service.api.chart import HEIGHT, bars_by_hour, scale_of, tick_labels
from report_service.api.figures import LOCALES, Writer, decimals_needed, locale_for
from wattbook.pages import STATIC

TOKENS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"(--[\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (STATIC / "wattbook.css").read_text()
    )
}
TEXTS = ("--text", "--muted", "--faint", "--accent", "--good", "--bad", "--unknown")
MARKS = ("--good-bar", "--bad-bar", "--buy-bar", "--sell-bar", "--cash-bar")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["--bg", "--raised", "--accent-soft"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_stands_out_from_its_ground(text: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("--text", "--warn-soft"),
        ("--text", "--bad-soft"),
        ("--text", "--glow"),
        ("--warn", "--warn-soft"),
        ("--on-accent", "--accent"),
        ("--muted", "--sunken"),
    ],
)
def test_notices_and_buttons_are_readable(text: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("mark", MARKS)
def test_bars_stand_out_from_their_ground(mark: str, theme: int) -> None:
    wanted = 2.6 if mark == "--sell-bar" else 3.0  # it also lies on the other side of zero
    assert contrast(TOKENS[mark][theme], TOKENS["--raised"][theme]) >= wanted


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_bought_and_sold_differ_in_lightness(theme: int) -> None:
    assert contrast(TOKENS["--buy-bar"][theme], TOKENS["--sell-bar"][theme]) >= 1.8


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("0", "0<i>.00</i>"),
        ("1234567.5", "+1,234,567.50"),
        ("-0.01", "−0.01"),
        ("0.005", "+0.00"),
    ],
)
def test_a_difference_has_a_sign_and_a_zero_has_none(value: str, written: str) -> None:
    assert str(Writer("en").cell(Decimal(value), decimals=2, sign=True)) == written


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_writes_the_same_digits(locale: str) -> None:
    text = Writer(locale).number(Decimal("-1234567.25"), decimals=2)

    assert re.sub(r"\D", "", text) == "123456725"
    assert text.startswith("−")


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("", "en"),
        ("de-DE", "de"),
        ("de-AT,de;q=0.8", "de_AT"),
        ("ja,nl;q=0.5", "nl"),
        ("*", "en"),
        ("-" * 500, "en"),
    ],
)
def test_a_locale_is_found_or_english(header: str, locale: str) -> None:
    assert locale_for(header) == locale


def test_a_column_has_the_decimals_its_finest_figure_needs() -> None:
    assert decimals_needed([Decimal(12), Decimal("0.5")], least=1) == 1
    assert decimals_needed([Decimal("0.025"), Decimal(0)], least=1) == 3
    assert decimals_needed([], least=1) == 1


euros = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 2))
values = st.lists(euros, min_size=1, max_size=25)


@given(values)
def test_a_scale_holds_every_value_between_round_ticks(numbers: list[float]) -> None:
    scale = scale_of(numbers)

    assert scale.low <= min(0.0, *numbers, 0.0) + 1e-6 * scale.step
    assert scale.high >= max(0.0, *numbers, 0.0) - 1e-6 * scale.step
    assert 0.0 in scale.ticks
    assert 2 <= len(scale.ticks) <= 7
    assert len(tick_labels(scale, Writer("en"))) == len(scale.ticks)


@given(values)
def test_bars_lie_within_the_chart(numbers: list[float]) -> None:
    chart = bars_by_hour([("cash", numbers)], writer=Writer("en"))

    for bar in chart.bars:
        assert -0.02 <= bar.y <= bar.y + bar.height <= HEIGHT + 0.02
        assert bar.kind == "cash"


def test_ticks_are_short() -> None:
    day = scale_of([14_321.0, -6_100.0])
    assert tick_labels(day, Writer("en")) == ("15k", "10k", "5k", "0", "−5k", "−10k")
    assert tick_labels(scale_of([2.2]), Writer("de")) == ("2,5", "2,0", "1,5", "1,0", "0,5", "0")
    assert tick_labels(scale_of([0.0]), Writer("en"))[1] == "0"
