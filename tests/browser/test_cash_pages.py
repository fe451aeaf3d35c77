"""Company cash in a real Chromium: from a search to a company by keyboard, phone, dark, without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.live_desk import LiveDesk
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.flow("Company cash")]

LOADED_S = 120.0
MOST_MS = 30_000


@pytest.fixture(scope="module")
def bank(desk: LiveDesk) -> LiveDesk:
    """The shared desk, once some payments of its bank are had."""

    def has_payments() -> bool:
        listed = desk.get("/v1/companies", limit="1")["companies"]
        return bool(listed) and desk.get(f"/v1/companies/{listed[0]['id']}/balance")["payments"] > 0

    wait_until(has_payments, timeout_s=LOADED_S, what="the bank's payments come in")
    return desk


def first_of(desk: LiveDesk) -> dict[str, Any]:
    """The company whose name comes first."""
    return dict(desk.get("/v1/companies", limit="1")["companies"][0])


def signed_in(desk: LiveDesk, page: Page) -> list[str]:
    """What the browser complains about from now on."""
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{desk.pages_url}/sign-in")
    page.fill("#username", "admin")
    page.fill("#password", desk.admin_password)
    page.click("form.card button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    return complaints


def test_a_company_is_found_and_opened_by_keyboard_and_its_page_stays_fresh(
    bank: LiveDesk, page: Page
) -> None:
    complaints = signed_in(bank, page)
    page.keyboard.press("g")
    page.keyboard.press("c")
    page.wait_for_url("**/cash")
    name = first_of(bank)["name"]
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.wait_for_selector(f'#found a:text-is("{name}")', timeout=MOST_MS)
    wait_until(lambda: page.evaluate("location.search"), timeout_s=30, what="the address says what is asked")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cash/companies/*")

    page.wait_for_selector("[data-cash-chart].drawn", timeout=MOST_MS)
    page.wait_for_selector("body.live", timeout=MOST_MS)
    assert page.inner_text("h1") == name
    assert page.locator(".world path").count() > 150
    page.evaluate("window.sameDocument = true")
    shown = page.inner_text('[data-slot="k.balance"]')
    bank.bank("rates", usd_shift=1.5)

    def has_changed() -> bool:
        return page.inner_text('[data-slot="k.balance"]') != shown

    wait_until(has_changed, timeout_s=LOADED_S, what="the figures follow the bank's new rates")
    bank.bank("rates")
    assert page.evaluate("window.sameDocument")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**until=*")
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(bank: LiveDesk, browser: Browser, scheme: Any) -> None:
    phone: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    with browser.new_context(color_scheme=scheme, **phone) as context:
        page = context.new_page()
        complaints = signed_in(bank, page)
        company = f"/companies/{first_of(bank)['id']}"
        for path in ("", company, f"{company}?interval=day", f"{company}/payments", f"{company}/set-aside"):
            page.goto(f"{bank.pages_url}/cash{path}")
            assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        assert complaints == []


def test_without_scripts_every_figure_is_there(bank: LiveDesk, browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        signed_in(bank, page)
        page.goto(f"{bank.pages_url}/cash/companies/{first_of(bank)['id']}?interval=year")

        assert page.inner_text('[data-slot="k.balance"]') not in ("", "–")
        assert page.locator("#buckets tbody tr").count() == 10
        assert page.locator('[data-slot="svg.flows"] rect').count() > 0
        assert page.is_visible("text=Count these too")
