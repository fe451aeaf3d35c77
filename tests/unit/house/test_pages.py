"""Pages that are made from elsewhere are what they were made from: `make docs` writes them."""

from __future__ import annotations

from deploy import settings


def test_the_page_of_settings_is_what_the_code_says() -> None:
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page()
