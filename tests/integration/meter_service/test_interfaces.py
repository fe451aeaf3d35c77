"""Flow files and readings through both doors: the gateway's and, behind it, meter-service's own."""

import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from joserfc.jwk import ECKey
from wattbook_cli.app import run

from tests.integration.gateway.support import refusal, user_of
from tests.integration.meter_process import MeterProcess
from tests.support import engines
from tests.support.trades import unique
from tests.unit.gateway.started import ADMIN_PASSWORD, Started

pytestmark = pytest.mark.slow
FILES = "/v1/flow-files"
NMI = "NBBBX11110"


def record(nmi: str = NMI, **changes: str) -> str:
    """A 250 record."""
    fields = {
        "suffix": "11", "register": "01", "serial": "01002", "previous": "00800.5", "value": "00877",
        "at": "20040107100333", "quality": "A", "reason": "", "quantity": "76.5", "next": "20040407",
        "updated": "20040108080000", **changes,
    }  # fmt: skip
    return ",".join(
        ("250", nmi, fields["suffix"], fields["register"], fields["suffix"], "", fields["serial"], "E",
         fields["previous"], "20031007100000", "A", "", "", fields["value"], fields["at"], fields["quality"],
         fields["reason"], "", fields["quantity"], "kWh", fields["next"], fields["updated"], "")
    )  # fmt: skip


def flow_file(*records: str) -> bytes:
    """Unlike any other."""
    lines = (f"100,NEM13,200401081200,{unique('M')[:10]},RETAILER", *records, "900")
    return "".join(f"{line}\r\n" for line in lines).encode()


def new_nmi() -> str:
    """Of a meter point that no other test knows."""
    return f"N{unique('')[-9:].upper():0>9}".translate(str.maketrans("_-", "00"))


def send(client: httpx.Client, content: bytes, name: str = "Z#1.csv", query: str = "") -> Any:
    return client.post(FILES + query, files={"file": (name, content)})


def readings(client: httpx.Client, nmi: str, query: str = "") -> list[dict[str, Any]]:
    return client.get(f"/v1/meter-readings?nmi={nmi}{query}").raise_for_status().json()


class Meters:
    """A really started gateway in front of a really started meter-service that reads its tokens."""

    def __init__(self, folder: Path) -> None:
        key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"})
        key.ensure_kid()
        keys_file = folder / "verify-keys.pem"
        keys_file.write_bytes(key.as_pem(private=False))
        self.service = MeterProcess(
            folder, gateway_url="http://127.0.0.1:1", WATTBOOK_OPEN_WALLS="false",
            WATTBOOK_VERIFY_KEYS_FILE=str(keys_file),
            WATTBOOK_METER_STORE_URL=engines.store_url(folder, "meter"),
        )  # fmt: skip
        self.gateway = Started(folder, key=key, meter_target=self.service.target)

    def __enter__(self) -> Self:
        self.service.start()
        self.gateway.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.gateway.__exit__(None, None, None)
        self.service.close()


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meters]:
    with Meters(tmp_path_factory.mktemp("meters")) as both:
        yield both


@pytest.fixture(scope="module")
def admin(meters: Meters) -> Iterator[httpx.Client]:
    with meters.gateway.client() as client:
        yield client


def test_a_file_goes_in_its_reading_is_found_and_withdrawn_again(admin: httpx.Client) -> None:
    nmi = new_nmi()
    content = flow_file(record(nmi, previous="", value="0056311.0"), "550,N,,N,4711")

    sent = send(admin, content)
    (file,) = sent.json()["files"]
    (reading,) = readings(admin, nmi.lower())
    original = admin.get(f"{FILES}/{file['id']}/original")
    preview = admin.post(f"{FILES}/{file['id']}/withdrawal?dry_run=true", json={}).json()
    left = readings(admin, nmi)
    done = admin.post(f"{FILES}/{file['id']}/withdrawal", json={"reason": "wrong month"}).json()
    again = admin.post(f"{FILES}/{file['id']}/withdrawal", json={"reason": "once more"}).json()

    assert sent.status_code == 201, sent.text
    assert (file["records"], file["stored"], file["way"], file["received_from"]) == (1, 1, "API", "admin")
    assert (reading["value"], reading["quantity"], reading["unit"]) == ("0056311.0", "76.5", "kWh")
    assert (reading["read_at"], reading["meter_serial"]) == ("2004-01-07T10:03:33+10:00", "01002")
    assert (reading["flow_file_name"], reading["line"]) == ("Z#1.csv", 2)
    assert [each["current_order"] for each in reading["service_orders"]] == ["4711"]
    assert original.content == content
    assert (preview["removed"], preview["file"]["state"], len(left)) == (1, "imported", 1)
    assert (done["removed"], done["file"]["withdrawn_by"]) == (1, "admin")
    assert (again["removed"], again["file"]) == (0, done["file"])
    assert readings(admin, nmi) == []
    assert send(admin, content).status_code == 201  # the same content again is a new record


def test_a_rejected_file_says_why_by_line_and_is_read_again_on_request(admin: httpx.Client) -> None:
    nmi = new_nmi()
    answer = send(admin, flow_file(record(nmi), record(nmi, value="8. 77", at="20040231000000")))

    why = refusal(answer, 422)
    (file,) = answer.json()["files"]
    errors = admin.get(f"{FILES}/{file['id']}/errors").json()

    assert "line 3" in why
    assert (file["state"], file["stored"], file["error_count"]) == ("rejected", 0, len(errors))
    assert {(each["line"], each["found"]) for each in errors} == {(3, "8. 77"), (3, "20040231000000")}
    assert errors == file["errors"]
    assert readings(admin, nmi) == []
    assert refusal(admin.post(f"{FILES}/{file['id']}/retry"), 422) == why
    assert "only an imported one" in refusal(
        admin.post(f"{FILES}/{file['id']}/withdrawal", json={"reason": "x"}), 409
    )


def test_a_zip_goes_in_member_by_member(admin: httpx.Client) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/good.csv", flow_file(record(new_nmi())))
        archive.writestr("bad.csv", flow_file("250"))
        archive.writestr("readme.pdf", b"PDF")

    answer = send(admin, buffer.getvalue(), "all.zip")

    assert answer.status_code == 201
    found = {each["member"]: each["result"] for each in answer.json()["files"]}
    assert found == {"a/good.csv": "imported", "bad.csv": "rejected"}
    assert answer.json()["left_alone"] == ["readme.pdf"]


def test_20_clients_with_the_same_new_content_make_one_file(meters: Meters, admin: httpx.Client) -> None:
    nmi = new_nmi()
    content = flow_file(*(record(nmi, at=f"200401{day:02}000000") for day in range(1, 29)))

    def once(_number: int) -> int:
        with meters.gateway.client() as client:
            return int(send(client, content).status_code)

    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(once, range(20)))

    assert statuses == [200] * 19 + [201]
    assert len(readings(admin, nmi)) == 28


def test_a_dry_run_says_what_would_be_and_keeps_nothing(admin: httpx.Client) -> None:
    nmi = new_nmi()
    good = send(admin, flow_file(record(nmi, quantity="")), query="?dry_run=true")
    bad = send(admin, flow_file(record(nmi, value="")), query="?dry_run=true")

    (file,) = good.json()["files"]
    assert (good.status_code, file["id"], file["records"]) == (200, None, 1)
    assert [each["kind"] for each in file["warnings"]] == ["blank_quantity"]
    assert refusal(bad, 422)
    assert readings(admin, nmi) == []


def test_pages_of_readings_hold_every_one_once_in_every_version(admin: httpx.Client) -> None:
    nmi = new_nmi()
    days = range(1, 29)
    first = [record(nmi, at=f"200401{day:02}000000", suffix=suffix) for day in days for suffix in "AB"]
    send(admin, flow_file(*first)).raise_for_status()
    changed = [record(nmi, at=f"200401{day:02}000000", suffix="A", updated="20040201000000") for day in days]
    send(admin, flow_file(*changed)).raise_for_status()

    pages: dict[str, list[tuple[Any, ...]]] = {}
    for versions in ("current", "all"):
        path, seen = f"/v1/meter-readings?nmi={nmi}&versions={versions}&limit=7", []
        while path:
            page = admin.get(path)
            seen += [
                (each["suffix"], each["read_at"], each["current"], each["flow_file_id"])
                for each in page.json()
            ]
            path = page.links.get("next", {}).get("url", "")
        pages[versions] = seen

    assert (len(pages["current"]), len(set(pages["current"]))) == (56, 56)
    assert (len(pages["all"]), len(set(pages["all"]))) == (84, 84)
    assert all(each[2] for each in pages["current"])
    narrow = readings(admin, nmi, "&from=2004-01-10&to=2004-01-12&quality=A")
    assert {each["read_at"][:10] for each in narrow} == {"2004-01-10", "2004-01-11"}
    assert readings(admin, nmi, "&quality=E") == []


@pytest.mark.parametrize(
    ("query", "why"),
    [
        (f"nmi={NMI}7", "the check digit of NBBBX11110 is 0, not 7"),
        (f"nmi={NMI}&cursor=1.2.3", "cursor"),
        (f"nmi={NMI}&cursor=x", "cursor"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(admin: httpx.Client, query: str, why: str) -> None:
    assert why in refusal(admin.get(f"/v1/meter-readings?{query}"), 400)
    assert "cursor" in refusal(admin.get(f"{FILES}?cursor=x"), 400)


@pytest.mark.parametrize("text", ["NAAAA00000", "%25", "_________1", "%27%20OR%20%271%27=%271"])
def test_what_is_not_known_is_an_empty_list(admin: httpx.Client, text: str) -> None:
    send(admin, flow_file(record(new_nmi())))

    for name in ("nmi", "meter_serial"):
        assert admin.get(f"/v1/meter-readings?{name}={text}").json() == []


def test_a_meter_point_says_since_when_nobody_really_read_it(admin: httpx.Client) -> None:
    nmi = new_nmi()
    send(
        admin,
        flow_file(
            record(nmi, at="20040101000000", serial="OLD"),
            record(nmi, at="20040101000000"),
            record(nmi, at="20040201000000", quality="E64", reason="13"),
            record(nmi, at="20040301000000", quality="S64", reason="12", next="20040601"),
        ),
    ).raise_for_status()

    point = admin.get(f"/v1/meter-points/{nmi}").json()

    assert [each["serial"] for each in point["meters"]] == ["01002", "OLD"]
    (register,) = point["meters"][0]["registers"]
    assert register["last"]["quality_words"] == "substituted (method 64): Locked premises"
    assert register["last_actual"]["read_at"] == "2004-01-01T00:00:00+10:00"
    assert register["not_actual_since"] == "2004-02-01T00:00:00+10:00"
    assert register["not_actual_reason"] == "Locked premises"
    assert (register["next_read_on"], register["overdue"]) == ("2004-06-01", True)
    assert point["meters"][0]["last_read_at"] == "2004-03-01T00:00:00+10:00"
    refusal(admin.get("/v1/meter-points/NAAAA00000"), 404)


def test_its_own_guard_refuses_whom_the_gateway_would(meters: Meters, admin: httpx.Client) -> None:
    with meters.gateway.client(*user_of(admin, "support")) as support:
        assert support.get(FILES).status_code == 200
        refusal(send(support, flow_file()), 403)


def test_a_header_and_an_end_alone_are_imported_with_a_warning(admin: httpx.Client) -> None:
    answer = send(admin, flow_file())

    (file,) = answer.json()["files"]
    assert (answer.status_code, file["records"]) == (201, 0)
    assert [each["kind"] for each in file["warnings"]] == ["no_readings"]


def test_nothing_in_an_empty_part_is_rejected_as_empty(admin: httpx.Client) -> None:
    assert "empty" in refusal(send(admin, b""), 422)


class TestTerminal:
    @pytest.fixture
    def wattbook(
        self, meters: Meters, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
    ) -> Callable[..., tuple[int, str, str]]:
        known = {
            "WATTBOOK_URL": meters.gateway.url, "WATTBOOK_USER": "admin",
            "WATTBOOK_PASSWORD": ADMIN_PASSWORD, "XDG_CONFIG_HOME": str(tmp_path / "config"),
        }  # fmt: skip

        def call(*arguments: str) -> tuple[int, str, str]:
            capfdbinary.readouterr()
            code = run(["meters", *arguments], known)
            sys.stdout.flush()
            said = capfdbinary.readouterr()
            return code, said.out.decode(), said.err.decode()

        return call

    def test_a_file_is_imported_its_reading_found_and_withdrawn(
        self, wattbook: Callable[..., tuple[int, str, str]], tmp_path: Path
    ) -> None:
        nmi, path = new_nmi(), tmp_path / "a.csv"
        path.write_bytes(flow_file(record(nmi, quality="S64", reason="13", value="0056311.0")))

        code, looked_at, _ = wattbook("import", str(path), "--dry-run", "--json")
        assert (code, json.loads(looked_at)[0]["id"]) == (0, None)
        code, out, _ = wattbook("import", str(path))
        assert code == 0
        assert "imported" in out
        number = str(json.loads(wattbook("import", str(path), "--json")[1])[0]["id"])
        assert "0056311.0" in wattbook("find", nmi.lower())[1]
        (reading,) = json.loads(wattbook("find", nmi, "--json")[1])
        assert reading["value"] == "0056311.0"
        header, row = wattbook("find", "01002", "--serial", "--from", "2004-01-07", "--to", "2004-01-08",
                               "--quality", "S", "--all-versions", "--csv")[1].splitlines()[:2]  # fmt: skip
        assert header.startswith("nmi,meter_serial,register_id")
        assert "0056311.0" in row
        assert "Locked gate; so since 2004-01-07" in " ".join(wattbook("show", nmi)[1].split())
        assert json.loads(wattbook("show", nmi, "--json")[1])["nmi"] == nmi
        assert "a.csv" in wattbook("files", "--limit", "1")[1]
        assert "1 stored" in wattbook("files", number)[1]
        assert wattbook("files", "--state", "imported", "--csv")[1].startswith("id,name,member,sha256")

        code, _, complaint = wattbook("withdraw", number, "--reason", "wrong month")
        assert code == 1
        assert "1 reading gone" in complaint
        assert "--yes" in complaint
        code, out, _ = wattbook("withdraw", number, "--reason", "wrong month", "--yes")

        assert code == 0
        assert "withdrawn by admin" in out
        assert "No readings" in wattbook("find", nmi)[1]
        assert "withdrawn by admin: wrong month" in " ".join(wattbook("files", number)[1].split())

    def test_what_does_not_go_in_is_named_and_the_others_still_go(
        self, wattbook: Callable[..., tuple[int, str, str]], tmp_path: Path
    ) -> None:
        good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
        good.write_bytes(flow_file(record(new_nmi())))
        bad.write_bytes(flow_file(record(new_nmi(), value="8. 77")))

        code, out, complaint = wattbook(
            "import", str(tmp_path / "missing.csv"), str(tmp_path), str(bad), str(good)
        )

        assert code == 1
        assert "missing.csv: cannot read it" in complaint
        assert "it is a folder" in complaint
        assert "line 2: 250 CurrentRegisterRead: '8. 77'" in out
        assert "imported" in out
        assert wattbook("import", str(bad))[0] == 2
        code, _, complaint = wattbook("find", f"{NMI}7")
        assert code == 1
        assert "the check digit of NBBBX11110 is 0" in complaint
