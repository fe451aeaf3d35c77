"""Flow files in the drop folder: the real ingest-service as a process, through the real gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from wattbook_proto import meters_pb2

from tests.integration.ingest_process import NAME, IngestProcess
from tests.support.trades import as_csv, trade, unique
from tests.support.waiting import wait_until
from tests.unit.gateway.fake_meters import FakeMeters
from tests.unit.gateway.started import CLIENT_SECRET, Started

pytestmark = pytest.mark.slow
FLOW_FILE = "NEM13#1#MDP#RETAILER.csv"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Started]:
    with Started(tmp_path) as started:
        yield started


@pytest.fixture
def meters(gateway: Started) -> FakeMeters:
    return gateway.owners.meters


@pytest.fixture
def ingest(tmp_path: Path, gateway: Started) -> Iterator[IngestProcess]:
    """Not started."""
    folder = tmp_path / "ingest"
    folder.mkdir()
    service = IngestProcess(folder, gateway_url=gateway.url, secret=CLIENT_SECRET)
    yield service
    service.kill()


def content(end: str = "900") -> bytes:
    """Good, and unlike any other."""
    return f"100,NEM13,{unique('x')}\r\n{end}".encode()


def put(ingest: IngestProcess, body: bytes, name: str = FLOW_FILE) -> None:
    """As careful writers do."""
    path = ingest.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden = path.with_name(f".{path.name}")
    hidden.write_bytes(body)
    hidden.rename(path)


def states(meters: FakeMeters) -> list[tuple[str, int]]:
    return [(file.name, file.state) for file in meters.files.values()]


def test_flow_files_are_imported_and_archived_whatever_their_ending(
    ingest: IngestProcess, meters: FakeMeters
) -> None:
    names = [FLOW_FILE, "nem13#2#a#b.MDFF", "NEM13#3.txt", "NEM13#4.V01", "meters/Zähler", "meters/a.csv"]
    bodies = {name: content() for name in names} | {"NEM13#5.zip": b"100a 100b"}
    ingest.start()

    for name, body in bodies.items():
        put(ingest, body, name)

    for name, body in bodies.items():
        assert ingest.wait_archived(name.rpartition("/")[2]) == body
    expected = sorted([*(name.rpartition("/")[2] for name in names), "NEM13#5.zip", "NEM13#5.zip"])
    assert sorted(file.name for file in meters.files.values()) == expected
    assert {(file.way, file.state) for file in meters.files.values()} == {("folder", meters_pb2.IMPORTED)}
    assert list(ingest.rejected.iterdir()) == []
    assert list((ingest.inbox / "meters").iterdir()) == []
    assert ingest.terminate() == 0
    ingest.assert_tidy()


def test_one_that_is_rejected_is_kept_beside_its_errors(ingest: IngestProcess, meters: FakeMeters) -> None:
    body = content(end="")
    ingest.start()

    put(ingest, body, "meters/a.csv")

    assert ingest.wait_archived("a.csv") == body
    assert (ingest.rejected / "a.csv").read_bytes() == body
    head, *errors = (ingest.rejected / "a.csv.errors.txt").read_text().splitlines()
    assert head == "a.csv is rejected (flow file 1), 25 errors"
    assert (len(errors), errors[0]) == (25, "line 2: 250 CurrentRegisterRead: '8. 77': a decimal number")
    assert sorted(path.name for path in ingest.rejected.iterdir()) == ["a.csv", "a.csv.errors.txt"]


def test_a_zip_that_is_in_but_for_a_member_says_which(ingest: IngestProcess, meters: FakeMeters) -> None:
    ingest.start()

    put(ingest, b"100good bad", "NEM13#all.zip")

    ingest.wait_archived("NEM13#all.zip")
    said = (ingest.rejected / "NEM13#all.zip.errors.txt").read_text()
    assert said.startswith("NEM13#all.zip/bad is rejected (flow file 2), 25 errors\n")
    assert [state for _, state in states(meters)] == [meters_pb2.IMPORTED, meters_pb2.REJECTED]


def test_a_kill_during_the_upload_loses_and_doubles_nothing(
    ingest: IngestProcess, meters: FakeMeters
) -> None:
    body = content()
    meters.hold.clear()
    ingest.start()
    put(ingest, body)
    assert meters.held.wait(20)

    ingest.kill()
    meters.hold.set()
    ingest.start()

    assert ingest.wait_archived(FLOW_FILE) == body
    assert states(meters) == [(FLOW_FILE, meters_pb2.IMPORTED)]


def test_one_that_cannot_go_in_now_waits_and_the_nightly_file_does_not(
    ingest: IngestProcess, meters: FakeMeters, gateway: Started
) -> None:
    meters.down = True
    ingest.start()
    put(ingest, content())
    wait_until(lambda: ingest.said("is tried again"), timeout_s=20, what="it was tried")

    ingest.drop(as_csv([trade()]))
    ingest.wait_archived_content(
        (ingest.inbox / NAME).read_bytes() if (ingest.inbox / NAME).exists() else b""
    )
    assert (ingest.inbox / FLOW_FILE).exists()
    meters.down = False

    ingest.wait_archived(FLOW_FILE)
    assert states(meters) == [(FLOW_FILE, meters_pb2.IMPORTED)]


def test_the_same_content_is_imported_again_once_it_was_withdrawn(
    ingest: IngestProcess, meters: FakeMeters, gateway: Started
) -> None:
    body = content()
    ingest.start()
    put(ingest, body)
    ingest.wait_archived(FLOW_FILE)
    put(ingest, body, "meters/again.csv")
    ingest.wait_archived("again.csv")
    assert len(meters.files) == 1
    with gateway.client() as admin:
        admin.post("/v1/flow-files/1/withdrawal", json={"reason": "a test"}).raise_for_status()

    put(ingest, body, "meters/third.csv")

    ingest.wait_archived("third.csv")
    assert states(meters) == [(FLOW_FILE, meters_pb2.WITHDRAWN), ("third.csv", meters_pb2.IMPORTED)]


def test_what_is_no_flow_file_is_left_alone_and_said(ingest: IngestProcess, meters: FakeMeters) -> None:
    ingest.start()
    (ingest.inbox / "meters" / "link.csv").symlink_to("nowhere")
    (ingest.inbox / "meters" / "folder.csv").mkdir()
    (ingest.inbox / "meters" / "half.csv.part").write_bytes(b"100")
    (ingest.inbox / "NEM13.csv").write_bytes(b"100")

    put(ingest, content())
    ingest.wait_archived(FLOW_FILE)

    said = {each["message"] for each in ingest.said("is left alone")}
    assert said == {
        "meters/link.csv is left alone: it is a symbolic link, not a file",
        "meters/folder.csv is left alone: it is a folder, not a file",
        "NEM13.csv is left alone: its name is neither epex_trades_*.csv nor NEM13#*.csv",
    }
    assert len(meters.files) == 1
