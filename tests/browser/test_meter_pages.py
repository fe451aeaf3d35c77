"""The meter pages in a real Chromium: find a reading, see why it is not actual, upload, withdraw."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.meter_process import MeterProcess, MeterUser
from tests.support.flow_files import Read, flow_file
from tests.support.sign_in import PASSWORD, SignInDesk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.browser]

NMI = "2001985732"
ACTUAL = Read(nmi=NMI, value="000877.5", at="20261004013000", updated="20261004020000")
GUESS = ACTUAL.but(value="000999.0", at="20261004023000", quality="S64", reason="13", next_on="20261005")
PEOPLE = {
    "sue": {"roles": ["support"], "trader_id": None},
    "dan": {"roles": ["desk"], "trader_id": None},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeterProcess]:
    desk = SignInDesk(**PEOPLE)
    process = MeterProcess(tmp_path_factory.mktemp("meter"), gateway_url=desk.url).start()
    dan = MeterUser(process.url, "dan")
    assert dan.upload(("NEM13#BOOK#MDPX#RETAILER.csv", flow_file(ACTUAL, GUESS)))[0][1] == "imported"
    dan.close()
    yield process
    process.close()
    desk.close()


class Reader:
    """Somebody with a browser, who notes everything that the browser complains about."""

    def __init__(self, site: MeterProcess, page: Page, name: str) -> None:
        self.url, self.page = site.url, page
        self.complaints: list[str] = []
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(f"{self.url}/admin/")
        page.fill("#username", name)
        page.fill("#password", PASSWORD)
        page.click("form.card button")
        page.wait_for_selector("#q")

    def go(self, path: str) -> Reader:
        self.page.goto(f"{self.url}{path}")
        return self


@pytest.fixture
def sue(site: MeterProcess, page: Page) -> Iterator[Reader]:
    """Of support; leaves without a complaint of the browser."""
    reader = Reader(site, page, "sue")
    yield reader
    assert reader.complaints == []


@pytest.fixture
def dan(site: MeterProcess, page: Page) -> Iterator[Reader]:
    """Of the desk; leaves without a complaint of the browser."""
    reader = Reader(site, page, "dan")
    yield reader
    assert reader.complaints == []


def test_support_finds_by_keyboard_when_it_was_last_read_and_why_not_since(sue: Reader) -> None:
    page = sue.go("/admin/flow-files/").page
    page.keyboard.press("/")
    page.keyboard.type("2001 985 7328")
    page.keyboard.press("Enter")
    page.wait_for_selector("#readings")
    page.locator("#readings tbody th a").first.click()

    assert page.url.endswith(f"/admin/meter-points/{NMI}/")
    sure = page.inner_text("#sure")
    assert "000877.5" in sure
    assert "substituted since 2026-10-04 02:30:00: Locked gate" in sure
    assert page.locator("figure.steps circle.guess").count() == 1


def test_support_sees_no_way_to_import_and_has_none(sue: Reader) -> None:
    assert sue.go("/admin/flow-files/").page.get_by_role("link", name="Upload").count() == 0

    answer = sue.page.request.get(f"{sue.url}/admin/flow-files/upload")

    assert answer.status == 403


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Australia/Sydney"])
def test_times_are_those_of_the_market_wherever_the_browser_is(
    site: MeterProcess, browser: Browser, zone: str
) -> None:
    context = browser.new_context(timezone_id=zone)
    reader = Reader(site, context.new_page(), "sue").go(f"/admin/?q={NMI}")

    times = reader.page.locator("#readings td.when").all_inner_texts()
    context.close()

    assert times == ["2026-10-04 02:30:00", "2026-10-04 01:30:00"]  # the first is not on clocks in Sydney


def test_files_are_sent_one_by_one_with_a_result_each(dan: Reader, tmp_path: Path) -> None:
    contents = {
        "good.csv": flow_file(Read(nmi="6102035001", serial="GOOD1")),
        "known.csv": flow_file(ACTUAL, GUESS),
        "bad.csv": flow_file(Read(nmi="6102035001", serial="GOOD1", value="8. 77")),
    }
    paths = []
    for name, content in contents.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    page = dan.go("/admin/flow-files/upload").page

    page.set_input_files("#files", paths)
    page.evaluate("window.sameDocument = true")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_selector(".results li:nth-child(3):not(:has(progress))")

    said = page.locator(".results li").all_inner_texts()
    assert said[0].startswith("imported good.csv 1 of 1 records stored")
    assert said[1].startswith("already known known.csv")
    assert said[2].startswith("rejected bad.csv 1 error")
    assert "8. 77" in said[2]
    assert page.evaluate("window.sameDocument") is True


def test_a_file_that_is_dropped_is_uploaded(dan: Reader) -> None:
    page = dan.go("/admin/flow-files/upload").page
    text = flow_file(Read(nmi="6102035002", serial="DROP1")).decode()

    page.evaluate(
        """(text) => {
          const data = new DataTransfer();
          data.items.add(new File([text], "dropped.csv"));
          const event = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
          document.querySelector("[data-upload]").dispatchEvent(event);
        }""",
        text,
    )

    page.wait_for_selector(".results li:has-text('imported'):has-text('dropped.csv')")


def test_a_file_is_withdrawn_after_it_was_said_what_goes(dan: Reader, tmp_path: Path) -> None:
    path = tmp_path / "gone.csv"
    path.write_bytes(flow_file(Read(nmi="6102035003", serial="GONE1")))
    page = dan.go("/admin/flow-files/upload").page
    page.set_input_files("#files", path)
    page.get_by_role("button", name="Upload").click()
    page.locator(".results a").click()

    page.get_by_role("link", name="Withdraw …").click()
    assert "gone\n1" in page.inner_text(".strip.two")
    page.get_by_label("Why it is withdrawn").fill("a test file")
    page.get_by_role("button", name="Withdraw").click()

    page.wait_for_selector("text=withdrawn by dan because a test file")
    assert "Nothing found" in dan.go("/admin/?q=GONE1").page.inner_text("main")


def test_the_colours_chosen_are_remembered(sue: Reader) -> None:
    sue.page.get_by_role("button", name="Dark").click()
    sue.page.wait_for_selector('html[data-theme="dark"]')

    background = sue.go("/admin/flow-files/").page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert background == "rgb(13, 16, 20)"


@pytest.mark.parametrize(
    "path", ["/admin/", f"/admin/?q={NMI}", f"/admin/meter-points/{NMI}/", "/admin/flow-files/"]
)
def test_on_a_phone_only_tables_move_sideways(sue: Reader, path: str) -> None:
    sue.page.set_viewport_size({"width": 360, "height": 740})

    wide = sue.go(path).page.evaluate("document.documentElement.scrollWidth")

    assert wide <= 360
