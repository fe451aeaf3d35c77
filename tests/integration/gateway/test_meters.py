"""Flow files and meter readings through the HTTP door."""

import csv
import hashlib
import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from gateway.usecases import meters as meters_usecase
from wattbook_proto import meters_pb2

from tests.integration.gateway.support import refusal, user_of
from tests.support.ports import free_port
from tests.support.trades import unique
from tests.support.waiting import wait_until
from tests.unit.gateway.fake_meters import EVIL, NMI, SERIAL
from tests.unit.gateway.started import CLIENT_SECRET, Started

FILES = "/v1/flow-files"
READINGS = f"/v1/meter-readings?nmi={NMI}"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=cut"}
EVERYTHING = {
    "files": ("GET", FILES), "file": ("GET", f"{FILES}/1"), "errors": ("GET", f"{FILES}/1/errors"),
    "original": ("GET", f"{FILES}/1/original"), "readings": ("GET", READINGS),
    "point": ("GET", f"/v1/meter-points/{NMI}"), "upload": ("POST", FILES),
    "retry": ("POST", f"{FILES}/1/retry"), "withdraw": ("POST", f"{FILES}/1/withdrawal?dry_run=true"),
}  # fmt: skip
LOOK = {"files", "file", "errors", "original", "readings", "point"}


def content(text: str = "") -> bytes:
    """A good file unlike any other."""
    return f"100,NEM13,{text or unique('x')}\r\n900\r\n".encode()


def send(client: httpx.Client, body: bytes, name: str = "NEM13#a.csv", query: str = "") -> httpx.Response:
    return client.post(FILES + query, files={"file": (name, body)})


def part(body: bytes, disposition: str = 'form-data; name="file"; filename="a.csv"') -> bytes:
    return f"--cut\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + body + b"\r\n"


def post(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    return client.post(FILES, content=body, headers={**MULTIPART, **headers})


@pytest.fixture(scope="module")
def known(gateway: Started, admin: httpx.Client) -> int:
    """The number of a rejected file."""
    answer = send(admin, b"100,NEM13," + unique("x").encode())
    assert answer.status_code == 422
    return int(answer.json()["files"][0]["id"])


@pytest.fixture
def own_admin(own_gateway: Started) -> Iterator[httpx.Client]:
    with own_gateway.client() as client:
        yield client


class TestWhoMay:
    @pytest.mark.parametrize(
        ("role", "allowed"),
        [
            ("trader", set()),
            ("treasurer", set()),
            ("support", LOOK),
            ("desk", set(EVERYTHING)),
            ("service", LOOK | {"upload"}),
        ],
    )
    def test_a_role_does_what_is_its_own_and_nothing_else(
        self, gateway: Started, admin: httpx.Client, known: int, role: str, allowed: set[str]
    ) -> None:
        trader_id = "trader_7" if role == "trader" else None
        with gateway.client(*user_of(admin, role, trader_id=trader_id)) as client:
            answers = {what: self.ask(client, what, known) for what in EVERYTHING}

        assert {what for what, answer in answers.items() if answer.status_code != 403} == allowed
        for what in set(EVERYTHING) - allowed:
            refusal(answers[what], 403)

    def test_nobody_does_anything(self, nobody: httpx.Client, known: int) -> None:
        for what in EVERYTHING:
            refusal(self.ask(nobody, what, known), 401)

    def test_who_may_not_import_is_refused_before_the_file_is_read(
        self, gateway: Started, admin: httpx.Client
    ) -> None:
        before = len(gateway.owners.meters.asked)
        with gateway.client(*user_of(admin, "support")) as client:
            refusal(post(client, b"no multipart at all"), 403)

        assert len(gateway.owners.meters.asked) == before

    @staticmethod
    def ask(client: httpx.Client, what: str, known: int) -> httpx.Response:
        method, path = EVERYTHING[what]
        if what == "upload":
            return send(client, content())
        return client.request(
            method, path.replace("/1", f"/{known}"), json={} if what == "withdraw" else None
        )


class TestUpload:
    def test_a_good_file_is_in_and_told_of(self, gateway: Started, admin: httpx.Client) -> None:
        body = content() + b"x" * 3_000_000 + b"900"

        answer = send(admin, body)

        assert answer.status_code == 201
        (file,) = answer.json()["files"]
        assert (file["result"], file["state"], file["way"]) == ("imported", "imported", "API")
        assert (file["name"], file["size_bytes"], file["errors"]) == ("NEM13#a.csv", len(body), [])
        assert file["sha256"] == hashlib.sha256(body).hexdigest()
        assert file["received"] == "2004-01-07T10:03:33+10:00"
        assert gateway.owners.meters.contents[file["id"]] == body
        assert max(gateway.owners.meters.chunks) <= 1024 * 1024

    def test_the_same_content_again_is_known_whatever_its_name(self, admin: httpx.Client) -> None:
        body = content()
        first = send(admin, body)

        again = send(admin, body, "other.txt")

        assert (first.status_code, again.status_code) == (201, 200)
        assert again.json()["files"][0]["result"] == "known"
        assert again.json()["files"][0]["id"] == first.json()["files"][0]["id"]

    def test_the_same_new_content_by_20_clients_at_once_is_one_file(
        self, gateway: Started, admin: httpx.Client
    ) -> None:
        body = content()

        def once(_number: int) -> int:
            with gateway.client() as client:
                return send(client, body).status_code

        with ThreadPoolExecutor(20) as pool:
            answers = sorted(pool.map(once, range(20)))

        assert answers == [200] * 19 + [201]

    def test_a_rejected_file_is_told_of_with_its_errors_in_the_contracts_shape(
        self, admin: httpx.Client
    ) -> None:
        answer = send(admin, b"a PDF " + unique("x").encode())

        why = refusal(answer, 422)
        assert why == (
            "NEM13#a.csv is rejected: line 2: 250 CurrentRegisterRead: '8. 77': "
            "a decimal number (and 24 more)"
        )
        (file,) = answer.json()["files"]
        assert (file["result"], file["error_count"], len(file["errors"])) == ("rejected", 25, 20)
        assert file["errors"][0] == {
            "number": 1, "line": 2, "record": "250", "field": "CurrentRegisterRead", "found": "8. 77",
            "expected": "a decimal number",
        }  # fmt: skip

    def test_a_rejected_file_is_rejected_however_often_it_is_sent(self, admin: httpx.Client) -> None:
        body = b"bad " + unique("x").encode()
        first, again = send(admin, body), send(admin, body)

        assert refusal(again, 422) == refusal(first, 422)
        assert again.json()["files"][0]["result"] == "known"

    def test_an_empty_part_is_rejected(self, admin: httpx.Client) -> None:
        refusal(send(admin, b""), 422)

    def test_a_zip_is_in_where_any_of_it_is(self, admin: httpx.Client) -> None:
        good, bad = f"100{unique('a')}", unique("b")
        mixed = send(admin, f"{good} {bad} x.pdf".encode(), "a.zip")
        known = send(admin, good.encode(), "a.zip")
        nothing = send(admin, b"x.pdf", "a.zip")

        assert mixed.status_code == 201
        assert [each["result"] for each in mixed.json()["files"]] == ["imported", "rejected"]
        assert [each["member"] for each in mixed.json()["files"]] == [good, bad]
        assert mixed.json()["left_alone"] == ["x.pdf"]
        assert known.status_code == 200
        assert refusal(nothing, 422) == "there is no flow file in it"

    def test_a_dry_run_keeps_nothing(self, gateway: Started, admin: httpx.Client) -> None:
        before = dict(gateway.owners.meters.files)

        good = send(admin, content(), query="?dry_run=true")
        bad = send(admin, b"x", query="?dry_run=true")

        assert (good.status_code, good.json()["files"][0]["id"]) == (200, None)
        assert refusal(bad, 422)
        assert gateway.owners.meters.files == before

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("../../etc/passwd", "passwd"),
            ("a#b/c.csv", "c.csv"),
            ("Zähler 7.csv", "Zähler 7.csv"),
            ("x" * 4_000, "x" * 4_000),
            ("\u202egepj.csv", "\u202egepj.csv"),
            (EVIL.replace('"', ""), EVIL.replace('"', "")),
        ],
    )
    def test_a_name_is_text(self, admin: httpx.Client, name: str, kept: str) -> None:
        answer = send(admin, content(), name)

        assert (answer.status_code, answer.json()["files"][0]["name"]) == (201, kept)

    def test_the_drop_folders_files_say_so(self, gateway: Started) -> None:
        with gateway.client(None) as client:
            form = {"grant_type": "client_credentials"}
            token = client.post("/v1/oauth/token", data=form, auth=("ingest-service", CLIENT_SECRET)).json()[
                "access_token"
            ]
            client.headers["Authorization"] = f"Bearer {token}"
            assert send(client, content()).json()["files"][0]["way"] == "folder"


class TestBadUpload:
    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "before its last boundary"),
            (b"--cut--\r\n", "no part"),
            (part(b"1") + part(b"2" * 5_000_000) + b"--cut--", "two parts"),
            (part(b"1") + b"--cu", "before its last boundary"),
            (part(b"100 900")[:-40], "before its last boundary"),
            (part(b"1", 'form-data; name="file"') + b"--cut--", "names no filename"),
            (part(b"1", 'attachment; filename="a"') + b"--cut--", "names no filename"),
            (b"nothing of the kind", "no multipart/form-data"),
            (b"--cut\r\n" + b"X: " + b"y" * 100_000, "no multipart/form-data"),
        ],
    )  # fmt: skip
    def test_a_body_that_is_not_one_file_is_refused_and_nothing_kept(
        self, gateway: Started, admin: httpx.Client, body: bytes, why: str
    ) -> None:
        before = dict(gateway.owners.meters.files)

        assert why in refusal(post(admin, body), 400)

        assert gateway.owners.meters.files == before

    @pytest.mark.parametrize("kind", ["application/json", "text/csv", "multipart/mixed; boundary=cut"])
    def test_another_type_is_refused(self, admin: httpx.Client, kind: str) -> None:
        refusal(post(admin, part(b"1") + b"--cut--", **{"Content-Type": kind}), 415)

    @pytest.mark.parametrize("kind", ["multipart/form-data", f"multipart/form-data; boundary={'x' * 300}"])
    def test_a_type_without_a_usable_boundary_is_refused(self, admin: httpx.Client, kind: str) -> None:
        assert "boundary" in refusal(post(admin, part(b"1"), **{"Content-Type": kind}), 400)

    def test_a_file_over_the_limit_is_refused_whether_its_size_is_announced_or_not(
        self, tmp_path: Path
    ) -> None:
        body = part(b"100" + b"x" * 200_000 + b"900") + b"--cut--"
        with Started(tmp_path, flow_file_limit_bytes=100_000) as started, started.client() as client:
            announced = post(client, body)
            chunked = client.post(FILES, content=iter([body[:120_000], body[120_000:]]), headers=MULTIPART)
            fits = post(client, part(b"100" + b"x" * 99_994 + b"900") + b"--cut--")

            assert not [each for each in started.owners.meters.files.values() if each.size_bytes > 100_000]

        assert refusal(announced, 413)
        assert refusal(chunked, 413)
        assert fits.status_code == 201

    def test_a_client_that_goes_half_way_leaves_nothing(self, gateway: Started) -> None:
        before = dict(gateway.owners.meters.files)
        chunks = gateway.owners.meters.chunks
        already = len(chunks)
        head = (
            b"POST /v1/flow-files HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
            b"Content-Type: multipart/form-data; boundary=cut\r\nAuthorization: "
        )
        with gateway.client() as client:
            request = client.build_request("GET", "/")
            authorization = next(client.auth.auth_flow(request)).headers["Authorization"]  # type: ignore[union-attr]
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
            connection.sendall(head + authorization.encode() + b"\r\n\r\n" + part(b"100" + b"x" * 600_000))
            wait_until(lambda: len(chunks) > already, timeout_s=20, what="some of it arrived")

        assert gateway.owners.meters.broken_off.acquire(timeout=20)
        assert gateway.owners.meters.files == before

    def test_too_many_at_once_are_told_to_wait(
        self, admin: httpx.Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(meters_usecase, "MOST_UPLOADS", 0)

        answer = send(admin, content())

        assert refusal(answer, 503)
        assert answer.headers["retry-after"] == "2"


class TestFiles:
    def test_they_are_listed_newest_first_in_pages(self, own_admin: httpx.Client) -> None:
        for _ in range(5):
            send(own_admin, content())
        send(own_admin, b"bad")

        seen, path = [], f"{FILES}?limit=2"
        while path:
            page = own_admin.get(path)
            seen += [each["id"] for each in page.json()]
            path = page.links.get("next", {}).get("url", "")

        assert seen == [6, 5, 4, 3, 2, 1]
        rejected = own_admin.get(f"{FILES}?state=rejected").json()
        assert [each["id"] for each in rejected] == [6]
        by_content = own_admin.get(f"{FILES}?sha256={rejected[0]['sha256']}").json()
        assert by_content == rejected

    def test_one_has_its_warnings_errors_and_bytes(self, admin: httpx.Client) -> None:
        body = b"rejected " + unique("x").encode()
        number = send(admin, body, "Zähler;1.csv").json()["files"][0]["id"]

        file = admin.get(f"{FILES}/{number}").json()
        errors = admin.get(f"{FILES}/{number}/errors")
        as_csv = admin.get(f"{FILES}/{number}/errors?format=csv").text.splitlines()
        original = admin.get(f"{FILES}/{number}/original")

        assert file["warnings"] == [{"kind": "spaces", "text": "spaces", "count": 3, "lines": [2, 3]}]
        assert (len(errors.json()), len(as_csv)) == (25, 26)
        assert as_csv[:2] == [
            "number,line,record,field,found,expected", "1,2,250,CurrentRegisterRead,8. 77,a decimal number"
        ]  # fmt: skip
        assert original.content == body
        assert original.headers["content-type"] == "application/octet-stream"
        assert original.headers["content-disposition"] == "attachment; filename*=UTF-8''Z%C3%A4hler%3B1.csv"

    def test_an_unknown_one_is_not_found(self, admin: httpx.Client) -> None:
        for path in ("", "/errors", "/original"):
            assert "999999" in refusal(admin.get(f"{FILES}/999999{path}"), 404)
        refusal(admin.post(f"{FILES}/999999/retry"), 404)
        refusal(admin.post(f"{FILES}/999999/withdrawal", json={"reason": "x"}), 404)

    def test_an_imported_one_is_not_retried(self, admin: httpx.Client, known: int) -> None:
        number = send(admin, content()).json()["files"][0]["id"]

        refusal(admin.post(f"{FILES}/{number}/retry"), 409)
        assert "rejected" in refusal(admin.post(f"{FILES}/{known}/retry"), 422)

    def test_one_is_withdrawn_with_a_reason_and_stays_so(self, admin: httpx.Client) -> None:
        path = f"{FILES}/{send(admin, content()).json()['files'][0]['id']}/withdrawal"

        shown = admin.post(f"{path}?dry_run=true", json={})
        for body in ({}, {"reason": " "}):
            assert "reason" in refusal(admin.post(path, json=body), 400)
        done = admin.post(path, json={"reason": "wrong month"})
        again = admin.post(path, json={"reason": "once more"})

        assert (shown.json()["removed"], shown.json()["restored"]) == (2, 1)
        assert shown.json()["file"]["state"] == "imported"
        assert done.json()["file"]["withdrawn_reason"] == "wrong month"
        assert (again.status_code, again.json()["file"]) == (200, done.json()["file"])

    def test_what_did_not_change_needs_no_body(self, admin: httpx.Client, known: int) -> None:
        for path in (f"{FILES}/{known}", f"{FILES}/{known}/errors", READINGS, f"/v1/meter-points/{NMI}"):
            first = admin.get(path)
            again = admin.get(path, headers={"If-None-Match": first.headers["etag"]})
            assert (first.status_code, again.status_code, again.content) == (200, 304, b""), path


class TestReadings:
    def test_they_come_in_pages_with_exact_values_in_market_time(self, admin: httpx.Client) -> None:
        first = admin.get(f"{READINGS}&limit=3")
        second = admin.get(first.links["next"]["url"])

        assert (len(first.json()), len(second.json()), second.links) == (3, 2, {})
        reading = first.json()[0]
        assert (reading["value"], reading["quantity"]) == ("056311.0", "-1.5")
        assert (reading["read_at"], reading["previous_read_at"]) == ("2004-01-07T10:03:33+10:00", None)
        assert (reading["meter_serial"], reading["current"]) == (SERIAL, False)
        assert reading["service_orders"][0]["current_order"] == "7"

    def test_they_come_as_csv_without_a_formula(self, admin: httpx.Client) -> None:
        answer = admin.get(READINGS, headers={"Accept": "text/csv"})

        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 5
        assert (rows[0]["quantity"], rows[0]["reason"], rows[0]["current"]) == ("-1.5", f"'{EVIL}", "false")

    def test_what_is_asked_for_arrives(self, gateway: Started, admin: httpx.Client) -> None:
        query = "&meter_serial=01002&from=2004-01-01&to=2004-02-01T00:00:00%2B10:00&quality=S&versions=all"

        assert admin.get(READINGS + query).status_code == 200
        asked = gateway.owners.meters.asked[-1]
        assert admin.get(f"{READINGS}&from=2004-01-01T00:00:00+10:00").status_code == 200

        assert asked == meters_pb2.ReadingsRequest(
            nmi=NMI, meter_serial="01002", from_us=1_072_879_200_000_000, before_us=1_075_557_600_000_000,
            quality="S", all_versions=True, limit=100,
        )  # fmt: skip
        assert gateway.owners.meters.asked[-1].from_us == asked.from_us

    @pytest.mark.parametrize(
        ("query", "why"),
        [
            ("", "nmi or meter_serial"),
            ("nmi=", "1 to 64 characters"),
            (f"nmi={'x' * 10_000}", "1 to 64 characters"),
            (f"nmi={NMI}7", "check digit of NBBBX11110 is 0"),
            (f"nmi={NMI}&from=2004-02-01&to=2004-01-01", "from"),
            (f"nmi={NMI}&from=yesterday00", "from: expected a date"),
            (f"nmi={NMI}&to=2004-01-01T00:00:00", "to: expected a date"),
            (f"nmi={NMI}&to=2004-02-31", "to: expected a date"),
            (f"nmi={NMI}&cursor=ours-it-is-not", "cursor"),
            (f"nmi={NMI}&cursor=%27%3B--", "cursor"),
            (f"nmi={NMI}&quality=V", "quality"),
            (f"nmi={NMI}&limit=1001", "limit"),
        ],
    )
    def test_a_question_that_cannot_be_answered_says_why(
        self, admin: httpx.Client, query: str, why: str
    ) -> None:
        assert why in refusal(admin.get(f"/v1/meter-readings?{query}"), 400)

    @pytest.mark.parametrize("nmi", ["NAAAA00000", "%25", "_", "%27%20OR%201=1", "%22"])
    def test_what_is_not_known_is_an_empty_list(self, admin: httpx.Client, nmi: str) -> None:
        answer = admin.get(f"/v1/meter-readings?nmi={nmi}")

        assert (answer.status_code, answer.json()) == (200, [])

    def test_a_meter_point_says_how_sure_its_registers_are(self, admin: httpx.Client) -> None:
        point = admin.get(f"/v1/meter-points/{NMI}0").json()

        (register,) = point["meters"][0]["registers"]
        assert (point["nmi"], point["check_digit"]) == (NMI, "0")
        assert (register["last"]["quality"], register["last_actual"]) == ("S", None)
        assert register["not_actual_since"] == "2004-01-07T10:03:33+10:00"
        assert (register["not_actual_reason"], register["overdue"]) == ("Locked gate", True)
        refusal(admin.get("/v1/meter-points/NAAAA00000"), 404)


class TestWithoutIt:
    def test_a_desk_without_meter_service_says_so(self, tmp_path: Path) -> None:
        with Started(tmp_path, meter_target=None) as started, started.client() as client:
            assert "not running here" in refusal(client.get(READINGS), 503)
            assert "not running here" in refusal(send(client, content()), 503)

    def test_one_that_is_away_is_told_of(self, tmp_path: Path) -> None:
        nowhere = f"127.0.0.1:{free_port()}"
        with Started(tmp_path, meter_target=nowhere) as started, started.client() as client:
            refusal(client.get(READINGS), 503)
            refusal(send(client, content() + b"x" * 5_000_000), 503)
            refusal(client.get(f"{FILES}/1/original"), 503)

    def test_a_store_that_is_away_is_told_of(self, own_gateway: Started, own_admin: httpx.Client) -> None:
        own_gateway.owners.meters.down = True

        assert "store" in refusal(own_admin.get(READINGS), 503)
        assert "store" in refusal(send(own_admin, content() + b"x" * 5_000_000), 503)
