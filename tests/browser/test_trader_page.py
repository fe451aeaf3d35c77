"""A trader's page and the desk in a real Chromium: trades and prices reach the cells, streams recover."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.report_process import DAY
from tests.integration.trio import Trio, sale
from tests.support.sign_in import PASSWORD, SignInDesk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.flow("Live trade")]

LIVE = f"/traders/trader_1/days/{DAY}"
DESK = f"/desk/{DAY}"
UPDATED_S = 1_677_580_000


class Living:
    """Trades, prices and pages, with a trade at 14–15 and one of another trader."""

    def __init__(self, folder: Path) -> None:
        people = {
            "ana": {"roles": ["desk"], "trader_id": None},
            "tim": {"roles": ["trader"], "trader_id": "trader_1"},
        }
        self.sign_in_desk = SignInDesk(**people)
        self.trio = Trio(folder, WATTBOOK_GATEWAY_URL=self.sign_in_desk.url)
        self.trio.serve_prices()
        self.trio.reports.start()
        self.booked = 0
        self.book()
        self.book(trader_id="trader_2", delivery_hour=3, price_ct_per_mwh=500)
        self.trio.wait_for("")

    def book(self, **changes: Any) -> None:
        self.booked += 1
        self.trio.caller.book(sale(self.booked, **changes))

    def price(self, value: str, *, hour: int = 14) -> None:
        count = len(self.trio.owner.prices)
        self.trio.tell(self.trio.owner.publish(hour, value, at_s=UPDATED_S + 600 * count))

    def close(self) -> None:
        self.trio.close()
        self.sign_in_desk.close()


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    made = Living(tmp_path_factory.mktemp("living"))
    yield made
    made.close()


class Reader:
    """Somebody with a browser, who notes everything that the browser complains about."""

    def __init__(self, living: Living, page: Page, name: str = "ana", *, is_signed_in: bool = False) -> None:
        self.url = living.trio.reports.url
        self.page = page
        self.complaints: list[str] = []
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if is_signed_in:
            return
        page.goto(f"{self.url}/sign-in")
        page.fill("#username", name)
        page.fill("#password", PASSWORD)
        page.click("form.card button")
        page.wait_for_url(lambda url: "/sign-in" not in url)

    def go(self, path: str) -> Reader:
        self.page.goto(f"{self.url}{path}")
        return self

    def followed(self, path: str) -> Reader:
        """On a page, once its stream is open."""
        self.go(path).page.wait_for_selector("body.live")
        return self

    def look(self, *, is_looked_at: bool) -> None:
        """As if its tab came to the front, or went behind another; for pages with ``LOOKED_AT``."""
        self.page.evaluate(f"look({str(is_looked_at).lower()})")

    def cell(self, slot: str) -> str:
        return " ".join(self.page.inner_text(f'[data-slot="{slot}"]').split())

    def wait_for(self, slot: str, text: str, *, timeout_s: float = 15) -> None:
        self.page.wait_for_selector(f'[data-slot="{slot}"]:has-text("{text}")', timeout=timeout_s * 1000)

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)


@pytest.fixture
def ana(living: Living, page: Page) -> Iterator[Reader]:
    """A desk user, signed in; leaves without a complaint of the browser."""
    reader = Reader(living, page)
    yield reader
    assert reader.complaints == []


def context_of(browser: Browser, **options: Any) -> BrowserContext:
    return browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **options)


def test_a_trade_appears_without_a_reload_and_everything_keeps_its_place(living: Living, ana: Reader) -> None:
    ana.followed(LIVE)
    trades = int(ana.cell("k.trades"))
    ana.page.evaluate("window.sameDocument = true")
    ana.page.evaluate("window.scrollTo(0, 120)")

    living.book(delivery_hour=15)

    ana.wait_for("k.trades", str(trades + 1))
    assert ana.cell("h15.ours") == "1.20"
    assert ana.page.evaluate("window.sameDocument") is True
    assert ana.page.evaluate("window.scrollY") == 120
    assert ana.page.locator("#live tbody tr").count() == 24


def test_the_light_changes_when_a_price_arrives(living: Living, ana: Reader) -> None:
    ana.followed(LIVE)

    living.price("1.00")
    ana.wait_for("h14.doing", "higher")
    assert re.fullmatch(r"▲ higher\s?, sold above the reference \+0\.20", ana.cell("h14.doing"))
    assert ana.cell("h14.reference") == "1.00"
    good = ana.page.evaluate("getComputedStyle(document.querySelector('#h14 .light')).color")

    living.price("1.50")
    ana.wait_for("h14.doing", "lower")
    assert re.fullmatch(r"▼ lower\s?, sold below the reference −0\.30", ana.cell("h14.doing"))
    assert ana.page.evaluate("getComputedStyle(document.querySelector('#h14 .light')).color") != good
    assert ana.cell("h4.doing") == "● no trades"
    ana.page.wait_for_selector('[data-slot="h14.doing"].changed')


def test_a_stream_recovers_after_the_server_was_started_anew(living: Living, page: Page) -> None:
    reader = Reader(living, page).followed(LIVE)
    trades = int(reader.cell("k.trades"))

    assert living.trio.reports.stop() == 0
    page.wait_for_selector("#disconnected:not([hidden])", timeout=15_000)
    said = page.inner_text("#disconnected")
    assert re.match(r"Disconnected\. The figures are as known at [\d:]{8} CES?T, \d+ s ago\. Trying", said)
    assert int(reader.cell("k.trades")) == trades
    faint = page.evaluate("getComputedStyle(document.querySelector('.fine')).color")
    for each in ("#h14 .light b", "#h14 .light span", "#h14 td.ours", ".strip .big"):
        assert page.evaluate(f"getComputedStyle(document.querySelector('{each}')).color") == faint, each
    living.book()
    living.trio.reports.start()

    reader.wait_for("k.trades", str(trades + 1), timeout_s=40)
    page.wait_for_selector("#disconnected", state="hidden")


LOOKED_AT = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
window.look = (isLooked) => { hidden = !isLooked; document.dispatchEvent(new Event("visibilitychange")); };
"""
WITHOUT_WORKERS = "delete window.SharedWorker;"


def test_a_browser_that_was_offline_catches_up(living: Living, page: Page) -> None:
    page.add_init_script(WITHOUT_WORKERS)  # whose network a test cannot cut
    reader = Reader(living, page).followed(LIVE)
    trades = int(reader.cell("k.trades"))
    page.context.set_offline(True)
    page.evaluate("dispatchEvent(new Event('offline'))")
    page.wait_for_selector("#disconnected:not([hidden])")
    living.book()

    page.context.set_offline(False)

    reader.wait_for("k.trades", str(trades + 1), timeout_s=40)


@pytest.mark.parametrize("way", ["shared", "alone"])
def test_ten_tabs_stay_quick_and_each_is_fresh_when_looked_at(
    living: Living, browser: Browser, way: str
) -> None:
    """A browser opens six connections to a server: with a stream a tab the seventh would load for ever."""
    with context_of(browser) as context:
        context.add_init_script(LOOKED_AT + (WITHOUT_WORKERS if way == "alone" else ""))
        tabs: list[Reader] = []
        for at in range(10):
            tab = Reader(living, context.new_page(), is_signed_in=at > 0)
            tabs.append(tab.followed(DESK if at % 2 else LIVE))
            if way == "alone":
                tab.look(is_looked_at=False)
        if way == "alone":
            tabs[0].look(is_looked_at=True)
        looked, hidden = (tabs[:-1] if way == "shared" else tabs[:1]), tabs[-1]
        hidden.look(is_looked_at=False)
        before = [int(each.cell("k.trades")) for each in tabs]

        living.book(delivery_hour=21, price_ct_per_mwh=1)

        for each, count in zip(looked, before, strict=False):
            each.wait_for("k.trades", str(count + 1))
        assert int(hidden.cell("k.trades")) == before[-1], "who is not looked at lets go"
        for each, count in zip(tabs, before, strict=True):
            each.look(is_looked_at=True)
            each.wait_for("k.trades", str(count + 1))
            each.look(is_looked_at=False)
        assert [each.complaints for each in tabs] == [[]] * 10


def test_the_sketch_is_shown_first_and_the_choice_of_columns_is_remembered(ana: Reader) -> None:
    ana.followed(LIVE)
    heads = ana.page.locator("#live thead th:visible")
    titles = [text.split("€")[0].strip() for text in heads.all_inner_texts()]
    assert titles == [
        "Delivery period",
        "Our average price",
        "Reference price",
        "Age",
        "How are we doing so far",
    ]

    ana.page.get_by_role("button", name="Market").click()
    assert heads.count() == 9
    ana.page.get_by_title("Choose the table's columns").click()
    ana.page.get_by_label("Number of trades").check()
    assert heads.count() == 10
    ana.followed(LIVE)
    assert heads.count() == 10
    assert ana.page.locator(".presets [aria-pressed=true]").count() == 0

    ana.page.get_by_role("button", name="Sketch").click()
    assert heads.count() == 5


def test_the_desk_ranks_all_traders_and_follows_changes_in_place(living: Living, ana: Reader) -> None:
    ana.followed(f"{DESK}?sort=trader")
    names = ana.page.locator("#desk tbody th")
    assert names.all_inner_texts()[:2] == ["trader_1", "trader_2"]
    ana.page.get_by_role("link", name="PnL").click()
    ana.page.wait_for_url("**sort=-pnl")
    assert names.all_inner_texts()[0] == "trader_2"

    ana.page.reload()
    ana.page.wait_for_selector("body.live")
    living.book(trader_id="trader_9", delivery_hour=20)

    ana.page.wait_for_selector("#desk tbody th:has-text('trader_9')", timeout=15_000)
    assert names.all_inner_texts()[-1] == "trader_9"
    ana.page.get_by_role("link", name="trader_9").click()
    ana.page.wait_for_url(f"**/traders/trader_9/days/{DAY}")


def test_keys_lead_to_other_days_and_to_the_desk(ana: Reader) -> None:
    ana.followed(LIVE)
    ana.page.keyboard.press("ArrowRight")
    ana.page.wait_for_url("**/days/2023-03-01")
    ana.page.keyboard.press("g")
    ana.page.keyboard.press("d")
    ana.page.wait_for_url("**/desk/20*")


def test_a_trader_sees_their_own_day_and_not_the_desk(living: Living, page: Page) -> None:
    tim = Reader(living, page, "tim").go(LIVE)
    assert page.inner_text("h1") == "trader_1"
    assert page.get_by_role("link", name="Desk").count() == 0

    tim.go(DESK)
    assert "Not yours to see" in page.inner_text("h1")
    tim.go(f"/traders/trader_2/days/{DAY}")
    assert "Not yours to see" in page.inner_text("h1")


@pytest.mark.parametrize("path", [LIVE, DESK])
@pytest.mark.parametrize("width", [360, 768, 1440, 2560])
def test_the_page_never_scrolls_sideways(browser: Browser, living: Living, path: str, width: int) -> None:
    context = context_of(browser, viewport={"width": width, "height": 800}, has_touch=width < 700)
    try:
        reader = Reader(living, context.new_page()).followed(path)
        wider = "document.documentElement.scrollWidth > window.innerWidth"
        assert not reader.page.evaluate(wider)
        if path == LIVE:
            reader.page.wait_for_selector(".chart.drawn canvas")
            reader.page.get_by_role("button", name="All", exact=True).click()
            assert not reader.page.evaluate(wider)
        assert reader.complaints == []
    finally:
        context.close()


def test_colours_follow_the_system_and_can_be_chosen(browser: Browser, living: Living) -> None:
    context = context_of(browser, color_scheme="dark")
    try:
        reader = Reader(living, context.new_page()).followed(LIVE)
        reader.page.wait_for_selector(".chart.drawn canvas")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = reader.page.evaluate(ground)
        reader.page.get_by_role("button", name="Light", exact=True).click()
        assert reader.page.evaluate(ground) != dark
        assert reader.complaints == []
    finally:
        context.close()


def test_without_scripts_the_figures_columns_and_ranks_are_there(browser: Browser, living: Living) -> None:
    context = context_of(browser, java_script_enabled=False)
    try:
        reader = Reader(living, context.new_page()).go(LIVE)
        assert reader.cell("h14.ours") == "1.20"
        assert reader.page.locator("[data-live-chart=cumulative] svg rect").count() >= 1
        reader.page.get_by_role("button", name="All", exact=True).click()
        assert reader.page.locator("#live thead th:visible").count() == 15
        reader.go(DESK)
        reader.page.get_by_role("link", name="Trades").click()
        assert "sort=-trades" in reader.page.url
    finally:
        context.close()


def panel(reader: Reader, kind: str = "trades") -> Locator:
    """The panel, once it is there and shows that."""
    reader.page.wait_for_selector(f"#detail[data-kind={kind}]:not(.waiting)", timeout=15_000)
    return reader.page.locator("#detail")


def test_a_row_opens_its_trades_beside_a_table_that_does_not_move(living: Living, ana: Reader) -> None:
    ana.followed(LIVE)
    living.book(delivery_hour=5)
    ana.wait_for("h5.ours", "1.20")
    before = ana.page.locator("#h5").bounding_box()

    ana.page.click("#h5 td.doing")

    shown = panel(ana)
    assert shown.locator("tbody tr").count() == 1
    assert "12.0" in shown.locator("tbody tr").inner_text()
    assert ana.page.url.endswith(f"{LIVE}/trades/05-06")
    assert ana.page.locator("#h5").bounding_box() == before
    assert ana.page.evaluate("document.activeElement.id") == "detail-title"

    living.book(delivery_hour=5, price_ct_per_mwh=200)
    ana.page.wait_for_selector("#detail tbody tr:nth-child(2)", timeout=15_000)
    assert shown.locator("tr.changed, td.changed").count() > 0

    ana.page.keyboard.press("Escape")
    ana.page.wait_for_url(f"**{LIVE}")
    assert ana.page.locator("#detail").count() == 0
    assert ana.page.evaluate("document.activeElement.closest('tr').id") == "h5"


def test_rows_are_walked_and_opened_by_keyboard(ana: Reader) -> None:
    ana.followed(LIVE)
    ana.page.locator("#h13 th a").focus()
    ana.page.keyboard.press("ArrowDown")
    ana.page.keyboard.press("Enter")

    assert "14–15" in panel(ana).locator("h2").inner_text()
    assert "t_1" in ana.page.inner_text("#detail tbody")
    ana.page.go_back()
    ana.page.wait_for_selector("#detail", state="detached")


def test_a_price_opens_its_history_and_shares_its_address(living: Living, ana: Reader) -> None:
    living.price("2.00", hour=19)
    living.price("2.25", hour=19)
    ana.followed(LIVE)
    ana.wait_for("h19.reference", "2.25")

    ana.page.click("#h19 td.reference a")

    values = panel(ana, "prices").locator("tbody td.value")
    assert values.all_inner_texts() == ["2.25", "2.00"]
    living.price("2.50", hour=19)
    ana.page.wait_for_selector("#detail tbody tr:nth-child(3)", timeout=15_000)
    assert values.first.inner_text() == "2.50"

    ana.page.reload()
    assert panel(ana, "prices").is_visible()
    ana.page.locator("#detail .tabs").get_by_role("link", name="Trades").click()
    assert panel(ana, "trades").get_by_text("No trades in this period yet.").is_visible()
    ana.page.get_by_role("link", name="Close").click()
    ana.page.wait_for_selector("#detail", state="detached")
    assert ana.page.url.endswith(LIVE)


def test_an_owner_that_is_away_is_said_in_the_panel_with_a_request_id(living: Living, page: Page) -> None:
    reader = Reader(living, page).followed(LIVE)
    living.price("1.00", hour=21)
    reader.wait_for("h21.reference", "1.00")
    living.trio.owner.is_away = True
    try:
        page.click("#h21 td.reference a")
        assert "The history cannot be shown now." in panel(reader, "prices").inner_text()
        assert "Request" in page.inner_text("#detail")
    finally:
        living.trio.owner.is_away = False

    page.get_by_role("link", name="Try again").click()

    page.wait_for_selector("#history td.value")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_the_panel_fits_a_phone_and_works_without_scripts(
    browser: Browser, living: Living, has_scripts: bool
) -> None:
    size = {"width": 360, "height": 740}
    context = context_of(
        browser, viewport=size, has_touch=True, java_script_enabled=has_scripts, color_scheme="dark"
    )
    try:
        reader = Reader(living, context.new_page()).go(LIVE)
        reader.page.click("#h14 th a")
        box = panel(reader).bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, 360)
        assert reader.page.locator("#detail tbody tr").count() >= 1
        reader.page.locator("#detail .tabs").get_by_role("link", name="Reference price").click()
        assert panel(reader, "prices").is_visible()
        reader.page.get_by_role("link", name="Close").click()
        reader.page.wait_for_selector("#detail", state="detached")
    finally:
        context.close()
