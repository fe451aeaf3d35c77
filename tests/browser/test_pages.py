"""The pages as people meet them, in a real Chromium over a started product."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import as_ndjson, random_trade, trade, unique
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.flow("Report")]
DAY = date(2023, 2, 28)
PASSWORD = "a horse of the right battery"


class Reader:
    """Somebody with a browser, who notes everything that the browser complains about."""

    def __init__(self, desk: Desk, page: Page, name: str) -> None:
        self.desk = desk
        self.page = page
        self.name = name
        self.complaints: list[str] = []
        self.outside: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._heed(request.url))

    def go(self, path: str) -> Reader:
        self.page.goto(f"{self.desk.pages_url}{path}")
        return self

    def sign_in(self, path: str = "/") -> Reader:
        """Ask for an address and fill in the form that comes instead."""
        self.go(path)
        self.page.fill("#username", self.name)
        self.page.fill("#password", PASSWORD)
        self.page.click("form.card button")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)
        return self

    def day(self, trader_id: str, day: date = DAY) -> Reader:
        return self.go(f"/traders/{trader_id}/days/{day}")

    def path(self) -> str:
        return self.page.url.removeprefix(self.desk.pages_url)

    def wait_for_day(self, day: str) -> None:
        self.page.wait_for_url(f"**/days/{day}")

    def row(self, label: str) -> list[str]:
        """Label, trades, MW bought and sold, PnL."""
        row = self.page.locator("#live tr", has=self.page.get_by_role("rowheader", name=label, exact=True))
        cells = [
            row.locator("th"),
            *(row.locator(f"td.{name}") for name in ("trades", "buy_mw", "sell_mw", "pnl")),
        ]
        return [(cell.text_content() or "").strip() for cell in cells]

    def wait_for_charts(self) -> None:
        self.page.wait_for_selector(".chart.drawn canvas")

    def is_wider_than_the_screen(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _heed(self, url: str) -> None:
        if not url.startswith((self.desk.pages_url, "blob:")):
            self.outside.append(url)


@pytest.fixture(scope="module")
def users(desk: Desk) -> dict[str, str]:
    """A desk user, and a trader with an id of their own."""
    names = {"desk": unique("ana"), "trader": unique("tim"), "trader_id": unique("trader")}
    with desk.client() as admin:
        assert admin.add_user(names["desk"], PASSWORD, "desk").is_success
        trader = admin.add_user(names["trader"], PASSWORD, "trader", trader_id=names["trader_id"])
        assert trader.is_success, trader.text
    return names


@pytest.fixture(scope="module")
def trader_id(desk: Desk, users: dict[str, str]) -> str:
    """The trader, with trades on two days."""
    chooser = random.Random(11)
    trader_id = users["trader_id"]
    booked = [
        random_trade(chooser, trader_id=trader_id, day=day)
        for day in (DAY, date(2023, 10, 29))
        for _ in range(40)
    ]
    booked += [
        trade(trader_id=trader_id, price=6000, quantity=10, direction="sell", delivery_day="2023-03-10"),
        trade(trader_id=trader_id, price=4500, quantity=4, direction="buy", delivery_day="2023-03-10"),
    ]
    with desk.client() as admin:
        assert admin.batch(as_ndjson(booked)).added == len(booked)
        wait_until(
            lambda: shown(admin, trader_id, DAY) == 40, timeout_s=10, what="the trades are in the report"
        )
    return trader_id


def shown(admin: Client, trader_id: str, day: date) -> int:
    return int(admin.report(trader_id, day)["total"]["trades"])


def context_of(browser: Browser, **options: object) -> BrowserContext:
    return browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **options)  # type: ignore[arg-type]


@pytest.fixture
def ana(desk: Desk, users: dict[str, str], trader_id: str, page: Page) -> Iterator[Reader]:
    """A desk user, signed in; leaves without a complaint of the browser."""
    reader = Reader(desk, page, users["desk"]).sign_in()
    yield reader
    assert reader.complaints == []
    assert reader.outside == []


def test_signing_in_leads_to_where_one_wanted_to_go(
    desk: Desk, users: dict[str, str], trader_id: str, page: Page
) -> None:
    reader = Reader(desk, page, users["desk"]).sign_in(f"/traders/{trader_id}/days/2023-03-10")

    assert reader.path() == f"/traders/{trader_id}/days/2023-03-10"
    assert reader.row("14–15") == ["14–15", "2", "4.0", "10.0", "+420.00"]
    assert reader.row("Total")[-1] == "+420.00"
    assert reader.complaints == []


@pytest.mark.slow
def test_a_wrong_password_is_said_and_the_name_stays(desk: Desk, users: dict[str, str], page: Page) -> None:
    page.goto(f"{desk.pages_url}/sign-in")
    page.fill("#username", users["desk"])
    page.fill("#password", "wrong")
    page.keyboard.press("Enter")

    assert "do not match" in page.get_by_role("alert").inner_text()
    assert page.input_value("#username") == users["desk"]
    assert page.evaluate("document.activeElement.id") == "password"


def test_a_trader_sees_their_own_day_at_once_and_nobody_elses(
    desk: Desk, users: dict[str, str], trader_id: str, page: Page
) -> None:
    tim = Reader(desk, page, users["trader"]).sign_in()
    assert tim.path().startswith(f"/traders/{trader_id}/days/")
    assert page.locator("#search").count() == 0

    tim.day("somebody_else")

    assert "Not yours to see" in page.inner_text("h1")


@pytest.mark.slow
def test_a_trader_is_picked_from_the_list_or_found_by_name(ana: Reader, trader_id: str) -> None:
    assert ana.path() == "/traders"
    ana.page.get_by_role("link", name=trader_id).click()
    ana.wait_for_day("2023-10-29")

    ana.go("/traders")
    ana.page.keyboard.press("/")
    assert ana.page.evaluate("document.activeElement.id") == "search"
    ana.page.keyboard.type(trader_id)
    ana.page.keyboard.press("Enter")
    ana.wait_for_day("2023-10-29")

    assert ana.page.inner_text("h1") == trader_id


@pytest.mark.slow
def test_days_are_stepped_through_by_keyboard(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)

    ana.page.keyboard.press("ArrowRight")
    ana.wait_for_day("2023-03-01")
    ana.page.keyboard.press("ArrowLeft")
    ana.wait_for_day("2023-02-28")
    ana.page.keyboard.press("ArrowLeft")
    ana.wait_for_day("2023-02-27")
    ana.page.keyboard.press("t")
    ana.page.wait_for_url(lambda url: "/days/20" in url and not url.endswith("2023-02-27"))
    ana.page.go_back()
    ana.wait_for_day("2023-02-27")


@pytest.mark.slow
def test_a_day_is_chosen_in_the_date_field(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)

    ana.page.fill('input[type="date"]', "2023-10-29")

    ana.wait_for_day("2023-10-29")
    assert ana.row("02A–03")[0] == "02A–03"
    assert ana.row("02B–03")[0] == "02B–03"


@pytest.mark.slow
def test_help_opens_and_closes_by_keyboard(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)

    ana.page.keyboard.press("?")
    assert ana.page.get_by_role("dialog", name="Keyboard shortcuts").is_visible()
    ana.page.keyboard.press("ArrowRight")  # does nothing while help is open
    ana.page.keyboard.press("Escape")

    assert not ana.page.get_by_role("dialog").is_visible()
    assert ana.path().endswith("/2023-02-28")


def test_charts_come_after_the_page_and_their_values_on_hover(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id, date(2023, 3, 10))
    assert ana.page.locator("[data-live-chart=cumulative] svg rect").count() == 1
    ana.wait_for_charts()

    place = ana.page.locator(".plot.cumulative .live-chart")
    place.scroll_into_view_if_needed()
    plot = place.bounding_box()
    assert plot is not None
    ana.page.mouse.move(plot["x"] + plot["width"] * 14.5 / 24, plot["y"] + plot["height"] / 2)

    ana.page.wait_for_selector("#live tr.marked")
    assert ana.page.locator("#live tr.marked th").inner_text() == "14–15"


def test_a_new_trade_appears_in_place_without_a_reload(ana: Reader, desk: Desk) -> None:
    newcomer = unique("trader")
    ana.day(newcomer)
    assert "No trades" in ana.page.inner_text("[data-slot=empty]")
    ana.page.evaluate("window.sameDocument = true")

    with desk.client() as admin:
        admin.added(trade(trader_id=newcomer, price=5000, quantity=2, direction="sell"))
    ana.page.wait_for_selector("[data-slot='k.pnl']:has-text('+100.00')", timeout=15_000)

    assert ana.row("14–15") == ["14–15", "1", "0.0", "2.0", "+100.00"]
    assert ana.page.inner_text("[data-slot=empty]").strip() == ""
    ana.wait_for_charts()
    assert ana.page.evaluate("window.sameDocument") is True


@pytest.mark.slow
def test_a_session_that_ended_is_said_where_one_is(
    desk: Desk, users: dict[str, str], trader_id: str, page: Page
) -> None:
    Reader(desk, page, users["desk"]).sign_in(f"/traders/{trader_id}/days/{DAY}")
    page.context.clear_cookies()

    page.evaluate("dispatchEvent(new Event('offline'))")

    page.wait_for_selector("#disconnected:has-text('You have been signed out.')", timeout=15_000)
    page.get_by_role("link", name="Sign in again").click()
    page.wait_for_url("**/sign-in?next=**")


@pytest.mark.slow
def test_the_csv_is_downloaded_under_a_telling_name(ana: Reader, trader_id: str, tmp_path: Path) -> None:
    ana.day(trader_id, date(2023, 3, 10))

    with ana.page.expect_download() as started:
        ana.page.get_by_role("link", name="CSV").click()
    file = tmp_path / "report.csv"
    started.value.save_as(file)

    assert started.value.suggested_filename == f"performance_{trader_id}_2023-03-10.csv"
    rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
    assert rows[0][:4] == ["Hour", "Number of trades", "Total BUY [MW]", "Total SELL [MW]"]
    assert rows[-1][:7] == ["Total", "2", "4", "10", "4", "10", "420.00"]


@pytest.mark.slow
def test_colours_follow_the_system_until_chosen_and_are_remembered(
    browser: Browser, desk: Desk, users: dict[str, str], trader_id: str
) -> None:
    context = context_of(browser, color_scheme="dark")
    try:
        reader = Reader(desk, context.new_page(), users["desk"]).sign_in(f"/traders/{trader_id}/days/{DAY}")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = reader.page.evaluate(ground)
        reader.page.emulate_media(color_scheme="light")
        light = reader.page.evaluate(ground)
        assert dark != light

        reader.wait_for_charts()
        reader.page.get_by_role("button", name="Dark").click()
        assert reader.page.evaluate(ground) == dark
        reader.page.reload()
        assert reader.page.evaluate(ground) == dark
        assert reader.page.get_by_role("button", name="Dark").get_attribute("aria-pressed") == "true"
        assert reader.complaints == []
    finally:
        context.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 768, 1280, 2560])
def test_the_page_never_scrolls_sideways(
    browser: Browser, desk: Desk, users: dict[str, str], trader_id: str, width: int
) -> None:
    context = context_of(browser, viewport={"width": width, "height": 800}, has_touch=width < 700)
    try:
        reader = Reader(desk, context.new_page(), users["desk"]).sign_in(f"/traders/{trader_id}/days/{DAY}")
        reader.wait_for_charts()
        assert not reader.is_wider_than_the_screen()

        reader.page.locator("#live tbody tr").last.scroll_into_view_if_needed()
        head = reader.page.locator("#live thead th").first.bounding_box()
        assert head is not None
        assert head["y"] >= 0  # it stays in sight

        for path in ("/traders", "/sign-in", "/nothing", "/sign-out"):
            reader.go(path)
            assert not reader.is_wider_than_the_screen(), path
    finally:
        context.close()


@pytest.mark.slow
def test_everything_is_there_without_scripts(
    browser: Browser, desk: Desk, users: dict[str, str], trader_id: str
) -> None:
    context = context_of(browser, java_script_enabled=False)
    try:
        reader = Reader(desk, context.new_page(), users["desk"]).sign_in(
            f"/traders/{trader_id}/days/2023-03-10"
        )
        page = reader.page
        assert reader.row("14–15")[-1] == "+420.00"
        assert page.locator("[data-live-chart=cumulative] svg rect").count() == 1

        page.fill('input[type="date"]', "2023-02-28")
        page.get_by_role("button", name="Go").click()
        reader.wait_for_day("2023-02-28")
        page.get_by_role("link", name="Day after").click()
        reader.wait_for_day("2023-03-01")
        page.get_by_role("button", name="Dark").click()
        assert page.locator("html").get_attribute("data-theme") == "dark"
        page.locator("details.menu summary").click()
        page.get_by_role("button", name="Sign out").click()
        assert "/sign-in" in page.url
        reader.day(trader_id)
        assert "/sign-in" in page.url
    finally:
        context.close()


@pytest.mark.slow
def test_everything_is_reached_by_tab_and_focus_is_seen(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)
    ana.wait_for_charts()
    reached: list[str] = []
    for _ in range(30):
        ana.page.keyboard.press("Tab")
        found = ana.page.evaluate(
            """() => {
                const at = document.activeElement;
                const outline = getComputedStyle(at).outlineStyle;
                if (at === document.body) return ['BODY', ''];
                return [at.getAttribute('aria-label') || at.innerText || at.name || at.id, outline];
            }"""
        )
        if found[0] == "BODY":
            break
        if found[1] == "none":
            raise AssertionError(f"focus on {found[0]!r} is not seen")
        reached.append(found[0].strip().split("\n")[0])

    for wanted in (
        "Skip to the figures",
        "Trading",
        "Find a trader",
        "Dark",
        "Today",
        "CSV",
        "Columns",
        "All",
    ):
        assert wanted in reached, reached


@pytest.mark.slow
def test_the_session_is_not_the_scripts_business(ana: Reader) -> None:
    assert "session" not in ana.page.evaluate("document.cookie")
    kept = [cookie for cookie in ana.page.context.cookies() if "session" in cookie["name"]]
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in kept] == [(True, "Lax")]


@pytest.mark.slow
def test_the_first_paint_is_quick_and_the_page_is_small(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)
    sizes: dict[str, int] = {}
    ana.page.on("requestfinished", lambda request: sizes.update({request.url: body_size(request)}))
    ana.page.reload()
    ana.wait_for_charts()
    paint_ms = ana.page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0]"
    )

    without_charts = sum(size for url, size in sizes.items() if "/charts-" not in url)
    assert without_charts < 250_000
    assert paint_ms < 3000  # 500 on an idle machine; see bench


def body_size(request: object) -> int:
    return int(request.sizes()["responseBodySize"])  # type: ignore[attr-defined]


@pytest.mark.slow
def test_print_is_clean(ana: Reader, trader_id: str) -> None:
    ana.day(trader_id)
    ana.wait_for_charts()
    ana.page.emulate_media(media="print")

    assert not ana.page.locator("header.bar").is_visible()
    assert not ana.page.locator("form.days").is_visible()
    assert ana.page.locator("#live").is_visible()
    assert ana.page.locator("[data-live-chart=cumulative] svg rect").first.is_visible()
