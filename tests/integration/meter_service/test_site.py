"""The pages of meter-service: who may do what, what is found, what comes in and goes."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.meter_process import MeterProcess, MeterUser, words
from tests.support.flow_files import Read, flow_file
from tests.support.sign_in import SignInDesk
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

NMI, CHECKED = "2001985732", "20019857328"  # the pair of AEMO's own example
OTHER = "QAAAVZZZZZ"
FIRST = Read(nmi=NMI, value="000877.5", at="20260101100333", updated="20260102000000")
LATER = FIRST.but(
    value="000999.0", at="20260401100333", quality="S64", reason="13", next_on="20260701",
    previous="000877.5", previous_at="20260101100333", updated="20260402000000", orders=("550,N,,S,SO123",),
)  # fmt: skip
BOOK = flow_file(
    FIRST, LATER,
    Read(nmi=OTHER, serial="OLD77", at="20250101000000"),
    Read(nmi=OTHER, serial="NEW88", at="20250201000000"),
)  # fmt: skip
PEOPLE = {
    "sue": {"roles": ["support"], "trader_id": None},
    "dan": {"roles": ["desk"], "trader_id": None},
    "tom": {"roles": ["trader"], "trader_id": "trader_1"},
}


@pytest.fixture(scope="module")
def sign_in_desk() -> Iterator[SignInDesk]:
    desk = SignInDesk(**PEOPLE)
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, sign_in_desk: SignInDesk) -> Iterator[MeterProcess]:
    process = MeterProcess(tmp_path_factory.mktemp("meter"), gateway_url=sign_in_desk.url)
    process.start()
    yield process
    process.close()


@pytest.fixture(scope="module")
def dan(site: MeterProcess) -> Iterator[MeterUser]:
    user = MeterUser(site.url, "dan")
    assert user.upload(("NEM13#BOOK#MDPX#RETAILER.csv", BOOK)) == [
        ("NEM13#BOOK#MDPX#RETAILER.csv", "imported")
    ]
    yield user
    user.close()


@pytest.fixture(scope="module")
def sue(site: MeterProcess, dan: MeterUser) -> Iterator[MeterUser]:
    user = MeterUser(site.url, "sue")
    yield user
    user.close()


def file_address(user: MeterUser, name: str) -> str:
    """Of the newest flow file of a name."""
    page = user.http.get("/admin/flow-files/").text
    found = re.search(rf'href="(/admin/flow-files/\d+/)">{re.escape(name)}<', page)
    assert found, words(page)
    return found.group(1)


def reading_address(user: MeterUser, search: str, value: str) -> str:
    """Of a reading that a search lists."""
    page = user.http.get(f"/admin/?{search}").text
    found = re.search(rf'href="(/admin/readings/\d+/)">{re.escape(value)}<', page)
    assert found, words(page)
    return found.group(1)


class TestSignIn:
    def test_a_stranger_is_led_to_the_form_and_back_to_where_they_went(self, site: MeterProcess) -> None:
        stranger = MeterUser(site.url)

        led = stranger.http.get(f"/admin/meter-points/{NMI}/")
        back = stranger.sign_in("sue", wanted=f"/admin/meter-points/{NMI}/")

        assert led.status_code == 302
        assert led.headers["Location"] == f"/admin/sign-in?next=/admin/meter-points/{NMI}/"
        assert back.headers["Location"] == f"/admin/meter-points/{NMI}/"

    def test_a_wrong_password_is_said_and_the_name_stays(self, site: MeterProcess) -> None:
        answer = MeterUser(site.url).sign_in("sue", password="wrong")

        assert answer.status_code == 401
        assert "do not match" in answer.text
        assert 'value="sue"' in answer.text

    def test_the_gateway_hears_where_the_browser_is(
        self, site: MeterProcess, sign_in_desk: SignInDesk
    ) -> None:
        MeterUser(site.url, "sue")

        assert sign_in_desk.asked[-1]["user_address"] == ["127.0.0.1"]

    def test_nobody_is_led_to_another_site(self, site: MeterProcess) -> None:
        answer = MeterUser(site.url).sign_in("sue", wanted="//evil.example/")

        assert answer.headers["Location"] == "/admin/"

    def test_a_trader_sees_no_meters(self, site: MeterProcess) -> None:
        tom = MeterUser(site.url, "tom")

        answers = [
            tom.http.get(path) for path in ("/admin/", "/admin/readings/csv?q=1", "/admin/flow-files/")
        ]

        assert [answer.status_code for answer in answers] == [403] * 3
        assert "Only support, desk and admin users" in answers[0].text

    def test_signing_out_ends_it(self, site: MeterProcess) -> None:
        user = MeterUser(site.url, "sue")

        answer = user.http.post("/admin/sign-out", headers={"Origin": site.url})

        assert answer.status_code == 303
        assert user.http.get("/admin/").status_code == 302

    def test_a_form_of_another_site_signs_nobody_out(self, site: MeterProcess) -> None:
        user = MeterUser(site.url, "sue")

        user.http.post("/admin/sign-out", headers={"Origin": "https://evil.example"})

        assert user.http.get("/admin/").status_code == 200

    def test_the_cookie_is_not_for_scripts_and_not_readable(self, site: MeterProcess) -> None:
        answer = MeterUser(site.url).sign_in("sue")

        (cookie,) = [each for each in answer.headers.get_list("set-cookie") if "wattbook_meters_" in each][
            -1:
        ]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "sue" not in cookie

    def test_the_gateway_away_is_a_clear_page(self, tmp_path: Path) -> None:
        process = MeterProcess(tmp_path, gateway_url="http://127.0.0.1:9").start()
        try:
            answer = MeterUser(process.url).sign_in("sue")
        finally:
            process.close()

        assert answer.status_code == 503
        assert "cannot be reached" in answer.text or "not reachable" in answer.text


class TestRights:
    @pytest.mark.parametrize("path", ["upload", "1/retry", "1/withdrawal"])
    def test_support_neither_imports_nor_withdraws(self, sue: MeterUser, path: str) -> None:
        answers = [
            sue.http.get(f"/admin/flow-files/{path}"),
            sue.post(f"/admin/flow-files/{path}", form="/admin/sign-out"),
        ]

        assert [answer.status_code for answer in answers] == [403, 403]

    def test_support_sees_no_button_for_it(self, sue: MeterUser) -> None:
        page = sue.http.get(file_address(sue, "NEM13#BOOK#MDPX#RETAILER.csv")).text

        assert "Withdraw" not in page
        assert "/upload" not in page

    def test_a_form_without_its_token_is_refused(self, dan: MeterUser) -> None:
        answer = dan.http.post("/admin/flow-files/upload", files=[("files", ("a.csv", b""))])

        assert answer.status_code == 403
        assert "form has expired" in answer.text


class TestEveryAnswer:
    @pytest.mark.parametrize("path", ["/admin/sign-in", "/admin/nothing", "/admin/static/nothing", "/readyz"])
    def test_has_the_headers_of_the_house(self, site: MeterProcess, path: str) -> None:
        headers = httpx.get(f"{site.url}{path}", timeout=10, trust_env=False).headers

        assert "script-src 'self'; style-src 'self'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"

    def test_has_neither_script_nor_style_in_its_text(self, sue: MeterUser) -> None:
        reading = reading_address(sue, f"q={NMI}", "000999.0")
        for path in (
            "/admin/",
            f"/admin/?q={NMI}",
            f"/admin/meter-points/{NMI}/",
            reading,
            "/admin/flow-files/",
        ):
            page = sue.http.get(path).text
            assert not re.search(r"<style|style=|<script(?! type=\"module\" src=)|\son\w+=", page), path

    def test_static_files_may_be_kept_for_ever_under_their_content(self, sue: MeterUser) -> None:
        page = sue.http.get("/admin/").text

        addresses = re.findall(r'(?:href|src)="(/admin/static/[^"]+)"', page)
        assert len(addresses) == 4
        for address in addresses:
            assert "immutable" in sue.http.get(address).headers["Cache-Control"]

    def test_what_is_not_there_is_a_page_with_an_id(self, sue: MeterUser) -> None:
        answer = sue.http.get("/admin/readings/999999/")

        assert answer.status_code == 404
        assert "no such reading" in answer.text
        assert answer.headers["X-Request-Id"] in answer.text


class TestSearch:
    @pytest.mark.parametrize("typed", [NMI, CHECKED, "2001 985 732", f"  {NMI.lower()} ", NMI[:6]])
    def test_an_nmi_is_found_however_it_is_typed(self, sue: MeterUser, typed: str) -> None:
        page = sue.page(f"/admin/?{httpx.QueryParams(q=typed)}")

        assert "000877.5 kWh 2026-01-01 10:03:33 actual" in page
        assert "000999.0 kWh 2026-04-01 10:03:33 substituted (method 64): Locked gate" in page

    @pytest.mark.parametrize("typed", ["OLD77", "old77", "OLD"])
    def test_a_serial_number_is_found_and_no_other_meter(self, sue: MeterUser, typed: str) -> None:
        page = sue.page(f"/admin/?q={typed}")

        assert "OLD77" in page
        assert "NEW88" not in page

    def test_a_wrong_check_digit_is_said_with_the_right_one(self, sue: MeterUser) -> None:
        page = sue.page(f"/admin/?q={NMI}7")

        assert f"As an NMI {NMI} would have the check digit 8, not 7." in page
        assert "Nothing found" in page

    def test_a_pasted_list_finds_all_of_it_and_says_what_is_unknown(self, sue: MeterUser) -> None:
        pasted = f"{CHECKED}\nNEW88,NOBODY1"
        page = sue.page(f"/admin/?{httpx.QueryParams(q=pasted)}")

        assert NMI in page
        assert "NEW88" in page
        assert "Nothing is known of NOBODY1." in page

    @pytest.mark.parametrize("typed", ["%", "_", "20019857_2", "'; DROP TABLE reading; --"])
    def test_what_is_a_wildcard_elsewhere_is_a_plain_character(self, sue: MeterUser, typed: str) -> None:
        page = sue.page(f"/admin/?{httpx.QueryParams(q=typed)}")

        assert "Nothing found" in page

    def test_nothing_found_says_what_was_looked_for_and_where_it_would_be(self, sue: MeterUser) -> None:
        page = sue.page("/admin/?q=NOBODY1")

        assert "Nothing found for “NOBODY1”." in page
        assert "once its file is imported" in page

    def test_an_empty_search_lists_nothing(self, sue: MeterUser) -> None:
        assert NMI not in sue.page("/admin/")

    def test_filters_leave_out(self, sue: MeterUser) -> None:
        late = sue.page(f"/admin/?q={NMI}&from=2026-02-01")
        actual = sue.page(f"/admin/?q={NMI}&quality=A")
        none = sue.page(f"/admin/?q={NMI}&to=2020-01-01")

        assert ("000999.0" in late, "000877.5" in late) == (True, False)
        assert ("000999.0" in actual, "000877.5" in actual) == (False, True)
        assert "the filters leave none of its readings" in none

    @pytest.mark.parametrize(
        "query",
        ["q=" + "9" * 10_000, f"q={NMI}&from=2026-02-02&to=2026-02-01", f"q={NMI}&from=yesterday",
         f"q={NMI}&quality=V", f"q={NMI}&after=1.2", f"q={NMI}&after=a.b.c", "file=x",
         f"q={NMI}&before=1.99999999999999999.1"],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused_with_what_would(self, sue: MeterUser, query: str) -> None:
        answer = sue.http.get(f"/admin/?{query}")

        assert answer.status_code == 400
        assert 'role="alert"' in answer.text

    def test_pages_go_on_and_back_without_a_gap(self, dan: MeterUser) -> None:
        days = [f"2025{month:02}{day:02}100000" for month in range(1, 13) for day in range(1, 11)]
        reads = [
            Read(nmi="6102035611", serial="MANY", at=at, value=f"{place}.5") for place, at in enumerate(days)
        ]
        assert dan.upload(("many.csv", flow_file(*reads)))[0][1] == "imported"

        forward, seen, query = [], [], "?q=MANY"
        while query:
            page = dan.http.get(f"/admin/{query}").text
            seen.append(values_in(page))
            forward.append(query)
            query = link(page, "next")
        back = link(dan.http.get(f"/admin/{forward[-1]}").text, "prev")

        assert [len(each) for each in seen] == [50, 50, 20]
        assert [value for each in seen for value in each] == [f"{place}.5" for place in range(119, -1, -1)]
        assert values_in(dan.http.get(f"/admin/{back}").text) == seen[1]

    def test_a_beginning_that_fits_too_much_lists_meter_points(self, dan: MeterUser) -> None:
        reads = [Read(nmi=f"70{number:08d}", serial=f"S{number}") for number in range(501)]
        assert dan.upload(("points.csv", flow_file(*reads)))[0][1] == "imported"

        page = dan.page("/admin/?q=70")

        assert "Meter points that fit “70”" in page
        assert "7000000000" in page


def values_in(page: str) -> list[str]:
    return re.findall(r'class="through" href="/admin/readings/\d+/">([^<]+)<', page)


def link(page: str, rel: str) -> str:
    found = re.search(rf'rel="{rel}"[^>]*href="/admin/([^"]+)"', page)
    return found.group(1).replace("&amp;", "&") if found else ""


class TestCsv:
    def test_has_all_columns_and_names_stay_text(self, sue: MeterUser) -> None:
        answer = sue.http.get(f"/admin/readings/csv?q={NMI}")

        rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert rows[0][:2] == ["NMI", "Meter serial number"]
        assert rows[1][:2] == [f"\t{NMI}", "\t01002"]
        assert rows[1][6] == "2026-04-01 10:03:33"
        assert len(rows) == 3

    def test_no_cell_is_a_formula(self, dan: MeterUser) -> None:
        evil = Read(nmi="6102035000", serial="=1+1", quality="S64", reason="0", words="@SUM(A1)")
        assert dan.upload(("=HYPERLINK(1).csv", flow_file(evil)))[0][1] == "imported"

        text = dan.http.get("/admin/readings/csv?q=6102035000").text.removeprefix("\ufeff")

        for row in list(csv.reader(io.StringIO(text)))[1:]:
            assert not [cell for cell in row if cell.strip()[:1] in set("=+@")], row


class TestReading:
    def test_shows_its_raw_line_its_orders_and_its_previous_read(self, sue: MeterUser) -> None:
        page = sue.http.get(reading_address(sue, f"q={NMI}", "000999.0")).text

        assert LATER.lines()[0] in page
        assert "special read, order SO123" in page
        assert 'href="/admin/readings/' in page[page.find("Previous read") :]

    def test_shows_every_version_and_what_changed(self, dan: MeterUser) -> None:
        first = Read(nmi="6102035022", serial="CORR1", value="10.5", quality="E52", updated="20260101000000")
        corrected = first.but(value="11.5", quality="A", updated="20260102000000")
        assert dan.upload(("first.csv", flow_file(first)), ("later.csv", flow_file(corrected)))

        page = dan.page(reading_address(dan, "q=CORR1", "11.5"))
        superseded = dan.page("/admin/?q=CORR1&versions=all")

        assert "2 versions" in page
        assert "value: 10.5 → 11.5" in page
        assert "quality: E → A" in page
        assert "· superseded" in superseded
        assert "10.5" not in dan.page("/admin/?q=CORR1")


class TestMeterPoint:
    def test_tells_the_last_actual_read_and_since_when_it_is_substituted(self, sue: MeterUser) -> None:
        page = sue.page(f"/admin/meter-points/{NMI}/")

        assert "000877.5 2026-01-01 10:03:33" in page
        assert "substituted since 2026-04-01 10:03:33 : Locked gate" in page
        assert re.search(r"2026-07-01 \d+ days overdue", page)

    def test_shows_an_exchange_of_meters_in_time(self, sue: MeterUser) -> None:
        page = sue.http.get(f"/admin/meter-points/{OTHER}/").text

        meters = page[page.find("Meters in time") :]
        assert meters.find("OLD77") < meters.find("NEW88")
        assert "replaces OLD77" in meters
        assert "none: replaced by NEW88" in page

    def test_draws_readings_as_steps(self, sue: MeterUser) -> None:
        page = sue.http.get(f"/admin/meter-points/{NMI}/").text

        assert re.search(r'<path d="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"/>', page)

    def test_of_an_unknown_nmi_there_is_none(self, sue: MeterUser) -> None:
        assert sue.http.get("/admin/meter-points/9999999999/").status_code == 404


class TestUpload:
    def test_several_files_have_a_result_each_without_a_script(self, dan: MeterUser) -> None:
        good = flow_file(Read(nmi="6102035033", serial="UP1"))
        bad = flow_file(Read(nmi="6102035033", serial="UP1", value="8. 77"))

        answer = dan.post(
            "/admin/flow-files/upload", files=[("good.csv", good), ("bad.csv", bad), ("same.csv", good)]
        )

        said = words(answer.text)
        assert answer.status_code == 200
        assert "imported good.csv 1 of 1 records stored" in said
        assert "rejected bad.csv 1 error; none of it is stored" in said
        assert "already known same.csv" in said

    def test_a_rejected_one_shows_its_errors_beside_the_lines(self, dan: MeterUser) -> None:
        bad = Read(nmi="6102035044", serial="BAD1", value="1,234")
        dan.upload(("bad lines.csv", flow_file(bad.but(value="8. 88"))))

        page = dan.http.get(file_address(dan, "bad lines.csv")).text

        assert "8. 88" in page
        assert bad.but(value="8. 88").lines()[0] in page
        assert "Import again" in page

    @pytest.mark.parametrize("name", ["<script>alert(1)</script>.csv", "../../etc/passwd", "a" * 300])
    def test_a_name_is_only_text(self, dan: MeterUser, name: str) -> None:
        read = Read(nmi="6102035055", serial=f"N{len(name)}")

        dan.upload((name, flow_file(read)))

        assert "<script>alert" not in dan.http.get("/admin/flow-files/").text

    def test_without_a_file_it_says_so(self, dan: MeterUser) -> None:
        answer = dan.post("/admin/flow-files/upload")

        assert answer.status_code == 422
        assert "Choose at least one" in answer.text

    def test_the_original_comes_back_as_it_was(self, dan: MeterUser) -> None:
        answer = dan.http.get(file_address(dan, "NEM13#BOOK#MDPX#RETAILER.csv") + "original")

        assert answer.content == BOOK
        assert "attachment" in answer.headers["Content-Disposition"]


class TestWithdrawal:
    def test_is_shown_first_wants_a_reason_and_leaves_its_record(self, dan: MeterUser) -> None:
        dan.upload(("gone.csv", flow_file(Read(nmi="6102035066", serial="GONE1"))))
        address = file_address(dan, "gone.csv") + "withdrawal"

        preview = dan.page(address)
        without = dan.post(address, {"reason": " "})
        done = dan.post(address, {"reason": "sent to us by mistake"})
        page = dan.page(file_address(dan, "gone.csv"))

        assert "Readings that only it holds: gone 1" in preview
        assert without.status_code == 400
        assert done.status_code == 303
        assert "withdrawn by dan because sent to us by mistake" in page
        assert "Nothing found" in dan.page("/admin/?q=GONE1&quality=A") or "leave none" in dan.page(
            "/admin/?q=GONE1&quality=A"
        )


class TestMadeUpFiles:
    def test_come_in_once_at_a_desk_that_has_none(self, tmp_path: Path, sign_in_desk: SignInDesk) -> None:
        folder = demo_folder(tmp_path)
        process = MeterProcess(
            tmp_path, gateway_url=sign_in_desk.url, WATTBOOK_METER_DEMO_FILES=str(folder)
        ).start()
        sue = MeterUser(process.url, "sue")

        search = "/admin/?q=6102035077"
        wait_until(lambda: "DEMO1" in sue.page(search), timeout_s=20, what="it is imported")

        assert "sandbox folder" in sue.page("/admin/flow-files/")
        process.close()

    def test_never_come_in_beside_a_real_one(self, tmp_path: Path, sign_in_desk: SignInDesk) -> None:
        process = MeterProcess(tmp_path, gateway_url=sign_in_desk.url).start()
        MeterUser(process.url, "dan").upload(("real.csv", BOOK))
        process.close()
        process.environment["WATTBOOK_METER_DEMO_FILES"] = str(demo_folder(tmp_path))
        process.start()
        process.close()  # waits for what is being imported

        process.environment.pop("WATTBOOK_METER_DEMO_FILES")
        process.start()
        assert "Nothing found" in MeterUser(process.url, "dan").page("/admin/?q=DEMO1")
        process.close()


def demo_folder(folder: Path) -> Path:
    made = folder / "made-up"
    made.mkdir()
    (made / "NEM13#1#MDPX#RETAILER.csv").write_bytes(flow_file(Read(nmi="6102035077", serial="DEMO1")))
    return made
