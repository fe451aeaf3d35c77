"""Pages that are made from elsewhere are what they were made from: `make docs` writes them."""

from __future__ import annotations

from bench import capacity
from deploy import settings


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page()


def test_the_capacity_table_is_what_was_measured_and_what_pods_request() -> None:
    assert capacity.PAGE.read_text(encoding="utf-8") == capacity.page()


def test_a_figure_is_found_by_its_section_its_row_and_the_row_below_it() -> None:
    rows = "| one, 3 times | 1 /s | |\n| &emsp;p99 | 2 ms | |\n| two | 3 /s | |\n| &emsp;p50 | 4 ms | |\n"

    def asked(*names: str) -> str:
        return capacity.figure({"x": rows}, *names)

    assert (asked("x", "one"), asked("x", "one", "p99"), asked("x", "two")) == ("1 /s", "2 ms", "3 /s")
    assert {asked("x", "one", "p50"), asked("x", "two", "p99"), asked("y", "one")} == {"(not measured)"}
