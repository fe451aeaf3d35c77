"""Feed, quarantine and reconciliation in a real Chromium, over a started desk and its sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.live_desk import BOOKED_S, LiveDesk, running
from tests.support.trades import trade
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.flow("How the desk is")]

PASSWORD = "a horse of the right battery"
SETTINGS = {"WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0", "WATTBOOK_INGEST_SETTLE_S": "0.2"}
MOST_MS = BOOKED_S * 1000


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    """A desk whose sandbox trades only when it is told to, with a desk user and a trader."""
    desk = LiveDesk(tmp_path_factory.mktemp("live"), "--sandbox", environment=SETTINGS)
    with running(desk):
        desk.wait_listeners(1)
        with desk.client() as admin:
            admin.add_user("ana", PASSWORD, "desk")
            admin.add_user("tim", PASSWORD, "trader", trader_id="trader_1")
        yield desk


class Reader:
    """Somebody with a browser, who notes everything that the browser complains about."""

    def __init__(self, desk: LiveDesk, page: Page, name: str = "ana") -> None:
        self.url, self.page = desk.pages_url, page
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{self.url}/sign-in")
        page.fill("#username", name)
        page.fill("#password", PASSWORD)
        page.click("form.card button")
        page.wait_for_url(lambda url: "/sign-in" not in url)

    def go(self, path: str) -> Reader:
        self.page.goto(f"{self.url}{path}")
        return self

    def wait_for(self, slot: str, text: str) -> None:
        self.page.wait_for_selector(f'[data-slot="{slot}"]:has-text("{text}")', timeout=MOST_MS)


@pytest.fixture
def ana(live: LiveDesk, page: Page) -> Iterator[Reader]:
    """A desk user, signed in; leaves without a complaint of the browser."""
    reader = Reader(live, page)
    yield reader
    assert reader.complaints == []


@pytest.mark.parametrize("path", ["/desk", "/traders"])
def test_the_pill_goes_from_live_to_disconnected_and_back_without_a_reload(
    live: LiveDesk, ana: Reader, path: str
) -> None:
    ana.go(path)
    ana.wait_for("pill", "feed live")
    ana.page.evaluate("window.sameDocument = true")

    live.exchange("POST", "refuse", how="503")
    live.exchange("POST", "drop", who="all", how="abort")
    try:
        ana.wait_for("pill", "feed disconnected")
        ana.wait_for("pill", "next try")
    finally:
        live.exchange("POST", "accept")
    ana.wait_for("pill", "feed live")

    assert ana.page.evaluate("window.sameDocument") is True


def test_what_is_quarantined_is_counted_found_replayed_and_dropped(live: LiveDesk, ana: Reader) -> None:
    ana.go("/desk")
    ana.wait_for("b.quarantine", "0")
    live.exchange("POST", "frame", text='{"weather": "<b>fine</b>"}')
    ana.wait_for("b.quarantine", "1")

    ana.page.get_by_role("link", name="Quarantine", exact=True).click()
    ana.page.locator("#quarantine tbody a").click()
    assert '{"weather": "<b>fine</b>"}' in ana.page.inner_text("pre.frame")

    ana.page.get_by_text("Replay …").click()
    ana.page.get_by_role("button", name="Replay now").click()
    ana.page.wait_for_selector("text=Still not readable.")
    ana.page.get_by_text("Drop …").click()
    ana.page.get_by_label("Why it can be let go").fill("no trade")
    ana.page.get_by_role("button", name="Drop for good").click()
    ana.page.wait_for_selector("text=(dropped: no trade)")
    assert "dropped · ana" in ana.page.inner_text(".state")

    ana.go("/quarantine")
    assert "Nothing waits." in ana.page.inner_text("main")
    ana.wait_for("kept.quarantined", "0")


def test_a_second_statement_of_the_exchange_is_accepted_from_the_quarantine(
    live: LiveDesk, ana: Reader
) -> None:
    said = {
        "id": "twice", "price": 20.5, "quantity": 12.3, "direction": "buy", "delivery_day": "2023-02-06",
        "delivery_hour": "08-09", "trader_id": "trader_1", "execution_time": "2023-02-06T06:13:45Z",
    }  # fmt: skip
    for price in (20.5, 30.5):
        live.exchange("POST", "frame", text=json.dumps({"trade_confirmation": {**said, "price": price}}))
    ana.go("/desk")
    ana.wait_for("b.quarantine", "1")
    ana.go("/quarantine")
    ana.page.locator("#quarantine tbody a").click()
    ana.page.get_by_role("link", name="Decide which statement holds").click()
    waiting = ana.page.locator("#waiting tbody tr")
    assert waiting.count() == 1
    assert waiting.locator("td strong").all_inner_texts() == ["20.50 €/MWh", "30.50 €/MWh"]

    ana.page.set_viewport_size({"width": 360, "height": 740})
    ana.page.get_by_text("Accept …").focus()
    ana.page.keyboard.press("Enter")
    ana.page.get_by_role("button", name="Accept this statement").click()

    ana.page.wait_for_selector("text=Decided.")
    assert ana.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    (row,) = ana.page.locator("#corrections tbody tr").all()
    assert row.locator("td strong").all_inner_texts() == ["20.50 €/MWh", "30.50 €/MWh"]
    assert "accepted by ana" in row.inner_text()
    ana.page.keyboard.press("g")
    ana.page.keyboard.press("q")
    ana.page.wait_for_url("**/quarantine")
    ana.page.locator("#quarantine tbody a").click()
    ana.page.get_by_text("Drop …").click()
    ana.page.get_by_label("Why it can be let go").fill("decided")
    ana.page.get_by_role("button", name="Drop for good").click()
    ana.page.wait_for_selector("text=(dropped: decided)")


def test_what_the_file_recovered_is_in_the_badge_and_leads_to_its_rows(live: LiveDesk, ana: Reader) -> None:
    live.emit(5)
    withheld = live.emit(2, withhold=True)
    day = live.exchange("GET", "state")["trading_day"]
    ana.go("/desk/today")
    live.exchange("POST", "nightly-file")
    ana.wait_for("complete", "2 recovered")

    ana.page.locator(".badge").click()
    ana.page.wait_for_url(f"**/reconciliation/{day}")
    ana.wait_for("n.recovered", "2")
    assert set(ana.page.locator("#differences tbody th").all_inner_texts()) == set(withheld)
    ana.page.get_by_role("link", name="Differs").click()
    ana.page.wait_for_url("**?kind=differs")
    assert "None of this kind." in ana.page.inner_text("main")


def test_keys_lead_to_the_pages_of_the_feed(ana: Reader) -> None:
    ana.go("/desk")
    for key, path in (("f", "/feed"), ("q", "/quarantine"), ("p", "/prices/**"), ("r", "/reconciliation/**")):
        ana.page.keyboard.press("g")
        ana.page.keyboard.press(key)
        ana.page.wait_for_url(f"**{path}")
    ana.page.keyboard.press("ArrowLeft")
    ana.page.wait_for_function("document.querySelector('h1').textContent === 'Reconciliation'")


def test_a_trader_sees_that_the_feed_lives_and_no_page_that_the_api_refuses(
    live: LiveDesk, page: Page
) -> None:
    tim = Reader(live, page, "tim").go("/prices/today")
    tim.wait_for("pill", "feed live")
    assert page.get_by_role("link", name="Quarantine").count() == 0

    for path in ("/feed", "/quarantine"):
        tim.go(path)
        assert "Not yours to see" in page.inner_text("h1")


def test_what_the_exchange_never_stated_is_counted_and_listed_beside_the_file(
    live: LiveDesk, ana: Reader
) -> None:
    day = live.exchange("GET", "state")["trading_day"]
    said = trade(trader_id="trader_1", delivery_day=day, execution_time=f"{day}T12:00:00Z")
    with live.client() as admin:
        admin.added(said)
    ana.go(f"/reconciliation/{day}?kind=unconfirmed")

    ana.wait_for("n.unconfirmed", "1")
    (row,) = ana.page.locator("#differences tbody tr").all()
    assert said["id"] in row.inner_text()
    assert "the exchange has not stated it" in row.inner_text()


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_no_page_of_the_feed_scrolls_sideways(browser: Browser, live: LiveDesk, width: int) -> None:
    live.exchange("POST", "frame", text="x" * 2000)
    wait_until(lambda: live.get("/v1/feed")["quarantined"], timeout_s=BOOKED_S, what="it is quarantined")
    number = live.get("/v1/quarantine", state="open")["items"][0]["id"]
    options: dict[str, Any] = {"viewport": {"width": width, "height": 800}, "has_touch": width < 700}
    context = browser.new_context(locale="en-GB", **options)
    try:
        reader = Reader(live, context.new_page())
        for path in (
            "/feed",
            "/quarantine",
            f"/quarantine/{number}",
            "/reconciliation/today",
            "/corrections",
            "/prices/today",
        ):
            reader.go(path)
            assert not reader.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"), path
        assert reader.complaints == []
    finally:
        context.close()


def test_without_scripts_everything_can_be_read_and_decided(browser: Browser, live: LiveDesk) -> None:
    live.exchange("POST", "frame", text="neither")
    wait_until(lambda: live.get("/v1/feed")["quarantined"], timeout_s=BOOKED_S, what="it is quarantined")
    context = browser.new_context(locale="en-GB", java_script_enabled=False)
    try:
        reader = Reader(live, context.new_page()).go("/quarantine")
        page = reader.page
        page.locator("#quarantine tbody a").first.click()
        page.get_by_text("Drop …").click()
        page.get_by_label("Why it can be let go").fill("a test")
        page.get_by_role("button", name="Drop for good").click()
        assert "(dropped: a test)" in page.inner_text("main")
        assert "feed live" in page.inner_text(".pill")
    finally:
        context.close()
