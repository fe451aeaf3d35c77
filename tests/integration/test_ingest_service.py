"""The drop folder as people use and misuse it: the real service as a process, a real disk, real HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ingest_process import NAME, IngestProcess, run_for
from tests.support.disks import Ballast, read_only, small_disk
from tests.support.trades import FIELDS, HEADER, as_csv, trade
from tests.support.waiting import wait_until
from tests.unit.ingest_service.fakes import FakeGateway, Refusal

pytestmark = pytest.mark.slow  # a process each


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    gateway = FakeGateway().up()
    yield gateway
    gateway.down()


@pytest.fixture
def ingest(tmp_path: Path, fake: FakeGateway) -> Iterator[IngestProcess]:
    """Not started: some tests put files there first."""
    service = run_for(tmp_path, fake)
    yield service
    service.kill()


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [trade(**changes) for _ in range(count)]


def test_a_file_is_booked_and_archived(ingest: IngestProcess, fake: FakeGateway) -> None:
    content = as_csv(rows(100))
    ingest.start()

    ingest.drop(content)

    assert ingest.wait_archived() == content.encode()
    assert len(fake.trades) == 100
    assert ingest.rejected_rows() == []
    assert ingest.terminate() == 0
    ingest.assert_tidy()
    (said,) = ingest.said("is in the archive")
    assert (said["added"], said["added_total"], said["files_total"]) == (100, 100, 1)


def test_a_file_that_was_there_before_is_taken_too(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.drop(as_csv(rows(1)))

    ingest.start()

    ingest.wait_archived()
    assert len(fake.trades) == 1


def test_a_file_that_is_still_being_written_is_left_until_it_is_closed(
    ingest: IngestProcess, fake: FakeGateway
) -> None:
    first, second = as_csv(rows(10)), as_csv(rows(10)).split("\n", 1)[1]
    ingest.start()

    with (ingest.inbox / NAME).open("w") as writer:
        writer.write(first)
        writer.flush()
        for number in range(2):  # each of these is taken after NAME stood still for longer than it must
            ingest.drop(as_csv(rows(1)), f"epex_trades_probe{number}.csv")
            ingest.wait_archived(f"epex_trades_probe{number}.csv")
        assert (ingest.inbox / NAME).exists()
        writer.write(second)

    assert ingest.wait_archived() == (first + second).encode()
    assert len(fake.trades) == 22


def test_a_writer_that_comes_back_soon_makes_one_file(tmp_path: Path, fake: FakeGateway) -> None:
    ingest = run_for(tmp_path, fake, WATTBOOK_INGEST_SETTLE_S="1.5").start()
    try:
        lines = as_csv(rows(20)).splitlines(keepends=True)
        script = (
            "import sys, time\n"
            "for line in sys.argv[2:]:\n"
            "    open(sys.argv[1], 'a').write(line)\n"
            "    time.sleep(0.1)\n"
        )
        subprocess.run([sys.executable, "-c", script, str(ingest.inbox / NAME), *lines], check=True)

        assert ingest.wait_archived() == "".join(lines).encode()
        assert len(fake.uploads) == 1
    finally:
        ingest.kill()


def test_a_file_that_is_renamed_into_place_does_not_wait(tmp_path: Path, fake: FakeGateway) -> None:
    ingest = run_for(tmp_path, fake, WATTBOOK_INGEST_SETTLE_S="60").start()
    try:
        ingest.drop(as_csv(rows(1)))
        ingest.wait_archived()

        outside = tmp_path / "outside"
        outside.write_text(as_csv(rows(1)))
        outside.rename(ingest.inbox / "epex_trades_20230301.csv")
        ingest.wait_archived("epex_trades_20230301.csv")
    finally:
        ingest.kill()


def test_a_file_that_grows_during_the_upload_is_uploaded_again(
    ingest: IngestProcess, fake: FakeGateway
) -> None:
    first, second = as_csv(rows(2000)), as_csv(rows(5)).split("\n", 1)[1]
    uploading = fake.hold("half the body")
    ingest.start()
    ingest.drop(first)
    assert uploading.reached.wait(10)

    with (ingest.inbox / NAME).open("a") as writer:
        writer.write(second)
    fake.release()

    assert ingest.wait_archived_content((first + second).encode())
    assert len(fake.trades) == 2005
    assert [upload["counts"]["added"] for upload in fake.uploads] == [2000, 5]


def test_a_file_that_is_replaced_during_the_upload_is_done_again(
    ingest: IngestProcess, fake: FakeGateway
) -> None:
    old, new = as_csv(rows(10)), as_csv([*rows(9), trade(price="1.5")])
    booked = fake.hold("booked")
    ingest.start()
    ingest.drop(old)
    assert booked.reached.wait(10)

    ingest.drop(new)
    fake.release()

    assert ingest.wait_archived_content(new.encode())
    assert len(fake.trades) == 19  # what was booked of the old one is a fact
    assert [row["price"] for row in ingest.rejected_rows()] == ["1.5"]


def test_the_same_content_again_is_nothing_new_whatever_its_name(
    ingest: IngestProcess, fake: FakeGateway
) -> None:
    content = as_csv([trade(price="1.5"), *rows(5)])
    ingest.start()
    ingest.drop(content)
    ingest.wait_archived()

    ingest.drop(content, "epex_trades_other.csv")
    ingest.wait_archived("epex_trades_other.csv")
    ingest.drop(content)
    wait_until(lambda: not (ingest.inbox / NAME).exists(), timeout_s=10, what="the copy is archived")

    assert len(fake.uploads) == 1
    assert len(ingest.said(f"is a duplicate of {NAME}")) == 2
    archived = {path.name: path.read_text() for path in ingest.archive.iterdir()}
    assert archived == dict.fromkeys((NAME, "epex_trades_20230228-2.csv", "epex_trades_other.csv"), content)
    assert os.listdir(ingest.rejected) == [NAME]


def test_another_content_of_a_known_name_is_kept_beside_the_first(ingest: IngestProcess) -> None:
    ingest.start()
    for price in ("1.5", "2.5"):
        ingest.drop(as_csv([trade(price=price)]))
        wait_until(lambda: not (ingest.inbox / NAME).exists(), timeout_s=10, what="it is archived")

    assert ingest.rejected_rows()[0]["price"] == "1.5"
    assert ingest.rejected_rows("epex_trades_20230228-2.csv")[0]["price"] == "2.5"


def reversed_columns(some: list[dict[str, Any]]) -> bytes:
    return as_csv(some, header=FIELDS[::-1]).encode()


BAD_PRICE = {"price": "1.5"}
CASES: dict[str, tuple[Callable[[list[dict[str, Any]]], bytes], int, list[str]]] = {
    "BOM": (lambda some: b"\xef\xbb\xbf" + as_csv(some).encode(), 3, []),
    "CRLF": (lambda some: as_csv(some, newline="\r\n").encode(), 3, []),
    "reordered columns": (reversed_columns, 3, []),
    "no final newline": (lambda some: as_csv(some).encode().rstrip(), 3, []),
    "Windows-1252": (
        lambda some: as_csv([{**some[0], "trader_id": "jürgen"}, *some[1:]]).encode("cp1252"),
        2,
        ["not UTF-8"],
    ),
    "a torn last line": (lambda some: as_csv(some).encode()[:-30], 2, ["7 columns instead of 8"]),
    "one bad row": (
        lambda some: as_csv([some[0], {**some[1], **BAD_PRICE}, some[2]], newline="\r\n").encode(),
        2,
        ["price: not a whole number"],
    ),
    "header only": (lambda some: HEADER.encode(), 0, []),
    "missing column": (
        lambda some: as_csv(some, header=FIELDS[:-1]).encode(),
        0,
        ["the whole file was refused: missing columns: execution_time (400)"] * 3,
    ),
    "empty file": (lambda some: b"", 0, ["the whole file was refused: the body is empty (400)"]),
}


def test_each_kind_of_file_ends_as_it_should(ingest: IngestProcess, fake: FakeGateway) -> None:
    contents = {f"epex_trades_{case}.csv": make(rows(3)) for case, (make, _, _) in CASES.items()}
    for name, content in contents.items():
        ingest.drop(content, name)

    ingest.start()

    for name, content in contents.items():
        assert ingest.wait_archived(name) == content
    reasons = {
        case: [row["reason"] for row in ingest.rejected_rows(f"epex_trades_{case}.csv")] for case in CASES
    }
    assert reasons == {case: expected for case, (_, _, expected) in CASES.items()}
    assert len(fake.trades) == sum(booked for _, booked, _ in CASES.values())
    assert ingest.rejected_rows("epex_trades_Windows-1252.csv")[0]["trader_id"] == "j\udcfcrgen"


def test_what_is_no_nightly_file_is_left_alone_and_said_once(
    ingest: IngestProcess, fake: FakeGateway, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text(as_csv(rows(1)))
    ingest.inbox.mkdir()
    left = [
        "epex_trades_link.csv",
        "epex_trades_folder.csv",
        "epex_trades_pipe.csv",
        "notes.txt",
        "EPEX_trades_1.csv",
    ]
    (ingest.inbox / left[0]).symlink_to(outside)
    (ingest.inbox / left[1]).mkdir()
    os.mkfifo(ingest.inbox / left[2])
    for name in (*left[3:], "epex_trades_1.csv.part", ".epex_trades_2.csv"):
        (ingest.inbox / name).write_text(as_csv(rows(1)))
    ingest.start()

    for number in range(3):
        ingest.drop(as_csv(rows(1)), f"epex_trades_probe{number}.csv")
        ingest.wait_archived(f"epex_trades_probe{number}.csv")

    assert len(fake.trades) == 3
    for name in left:
        assert len(ingest.said(f"{name} is left alone")) == 1
        assert os.path.lexists(ingest.inbox / name)
    assert len(ingest.said("is left alone")) == len(left)


def test_odd_dates_are_said_and_the_rows_booked(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.start()

    ingest.drop(as_csv(rows(1)), "epex_trades_20230220.csv")

    ingest.wait_archived("epex_trades_20230220.csv")
    assert len(fake.trades) == 1
    assert len(ingest.said("the dates of epex_trades_20230220.csv are odd")) == 1


def test_files_are_done_in_the_order_of_their_names(ingest: IngestProcess, fake: FakeGateway) -> None:
    days = [3, 1, 5, 2, 4]
    for day in days:
        ingest.drop(as_csv(rows(day)), f"epex_trades_2023022{day}.csv")

    ingest.start()

    ingest.wait_archived("epex_trades_20230225.csv")
    assert [upload["counts"]["added"] for upload in fake.uploads] == sorted(days)


def test_one_bad_file_does_not_block_the_others(ingest: IngestProcess, fake: FakeGateway) -> None:
    bad = as_csv(rows(4))
    fake.refusal = Refusal(500, only_bytes=len(bad))
    ingest.drop(bad, "epex_trades_1.csv")
    for number in range(2, 5):
        ingest.drop(as_csv(rows(number + 10)), f"epex_trades_{number}.csv")

    ingest.start()

    for number in range(2, 5):
        wait_until(
            (ingest.archive / f"epex_trades_{number}.csv").exists, timeout_s=20, what="a good one is archived"
        )
    assert (ingest.inbox / "epex_trades_1.csv").exists()
    fake.refusal = None
    ingest.wait_archived("epex_trades_1.csv", timeout_s=40)


def test_a_gateway_that_is_down_is_waited_for(ingest: IngestProcess, fake: FakeGateway) -> None:
    fake.down()
    ingest.drop(as_csv(rows(3)))
    ingest.start()
    ingest.wait_said("is not reachable")

    fake.up()

    ingest.wait_archived()
    assert len(fake.trades) == 3


def test_a_gateway_that_goes_down_midway_is_waited_for(ingest: IngestProcess, fake: FakeGateway) -> None:
    uploading = fake.hold("half the answer")
    ingest.drop(as_csv([trade(price="1.5"), trade(price="2.5"), *rows(50)]))
    ingest.start()
    assert uploading.reached.wait(10)
    fake.down()
    ingest.wait_said("stays in the inbox")

    fake.holds.clear()
    fake.up()

    ingest.wait_archived()
    assert len(fake.trades) == 50
    assert len(ingest.rejected_rows()) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_a_gateway_that_asks_to_wait_is_obeyed(ingest: IngestProcess, fake: FakeGateway, status: int) -> None:
    fake.refusal = Refusal(status, headers={"Retry-After": "2"}, times=1)
    ingest.drop(as_csv(rows(3)))
    ingest.start()

    ingest.wait_archived()

    (paused,) = ingest.said("nothing can be taken in now")
    assert paused["wait_s"] >= 2
    assert len(fake.trades) == 3


def test_a_wrong_secret_is_said_and_nothing_is_lost(tmp_path: Path, fake: FakeGateway) -> None:
    ingest = run_for(tmp_path, fake, WATTBOOK_INGEST_CLIENT_SECRET="not it")
    try:
        ingest.drop(as_csv(rows(1)))
        ingest.start()
        ingest.wait_said("the gateway gives no token")
        assert (ingest.inbox / NAME).exists()
    finally:
        ingest.kill()


def test_a_folder_of_rejected_rows_that_cannot_be_written_is_said_and_waited_for(
    ingest: IngestProcess, fake: FakeGateway
) -> None:
    ingest.rejected.mkdir(parents=True)
    with read_only(ingest.rejected):
        ingest.drop(as_csv([trade(price="1.5"), *rows(2)]))
        ingest.launch()
        ingest.wait_said(f"cannot write to {ingest.rejected}")
        assert (ingest.inbox / NAME).exists()
        assert not ingest.is_ready()

    ingest.wait_archived()
    assert len(ingest.rejected_rows()) == 1
    assert ingest.is_ready()


def test_a_full_disk_is_said_and_waited_for(ingest: IngestProcess, fake: FakeGateway) -> None:
    with small_disk(ingest.inbox, mebibytes=1):
        try:
            ballast = Ballast(ingest.inbox)
            ballast.path = ingest.inbox / ".ballast"
            ingest.drop(as_csv([*rows(1000, price="1.5"), *rows(2)]))
            (ingest.inbox / "archive").mkdir()
            ingest.rejected.mkdir()
            ballast.fill()
            ingest.start()
            ingest.wait_said("cannot write refused rows")
            ballast.free()

            ingest.wait_archived(timeout_s=40)

            assert len(ingest.rejected_rows()) == 1000
            assert len(fake.trades) == 2
        finally:
            ingest.kill()


def test_an_inbox_that_was_made_anew_is_watched_again(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.start()
    ingest.inbox.rename(ingest.inbox.with_name("old"))
    ingest.drop(as_csv(rows(1)))

    ingest.wait_archived()
    assert len(fake.trades) == 1


# More than the system keeps on its way at "half the body": the service is in the middle of sending.
@pytest.mark.parametrize(
    ("point", "count"), [("token", 10), ("half the body", 100_000), ("booked", 10), ("half the answer", 10)]
)
def test_an_orderly_stop_during_an_upload_is_quick(
    ingest: IngestProcess, fake: FakeGateway, point: str, count: int
) -> None:
    content = as_csv([*rows(count), trade(price="1.5"), trade(price="2.5")])
    held = fake.hold(point)
    ingest.drop(content)
    ingest.start()
    assert held.reached.wait(15)

    assert ingest.terminate(timeout_s=5) == 0

    assert (ingest.inbox / NAME).exists()
    assert "Traceback" not in ingest.log_path.read_text()
    fake.release()
    ingest.start()
    assert ingest.wait_archived(timeout_s=30) == content.encode()
    assert len(fake.trades) == count
    assert len(ingest.rejected_rows()) == 2
    ingest.assert_tidy()


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"WATTBOOK_INGEST_CLIENT_SECRET": ""}, 78, "WATTBOOK_INGEST_CLIENT_SECRET is not set"),
        ({"WATTBOOK_GATEWAY_URL": "gateway:1"}, 78, "WATTBOOK_GATEWAY_URL"),
        ({"WATTBOOK_INGEST_SETTLE_S": "-1"}, 78, "WATTBOOK_INGEST_SETTLE_S"),
        ({"WATTBOOK_INGEST_RESCAN_S": "nan"}, 78, "WATTBOOK_INGEST_RESCAN_S"),
        ({"WATTBOOK_INGEST_STORE_URL": "sqlite:////proc/none/x.db"}, 1, "cannot be opened"),
        ({"WATTBOOK_INGEST_STORE_URL": "mystery://x"}, 78, "no store engine"),
    ],
)
def test_a_start_that_cannot_work_ends_with_a_line_that_says_why(
    tmp_path: Path, fake: FakeGateway, change: dict[str, str], status: int, said: str
) -> None:
    ingest = run_for(tmp_path, fake, **change)
    ingest.launch()

    assert ingest.process is not None
    assert ingest.process.wait(20) == status
    assert said in ingest.log_path.read_text()
    assert "Traceback" not in ingest.log_path.read_text()


def test_a_port_in_use_ends_the_start_with_a_line(ingest: IngestProcess) -> None:
    with socket.create_server(("127.0.0.1", ingest.port)):
        ingest.launch()

        assert ingest.process is not None
        assert ingest.process.wait(20) == 1
    assert f"cannot listen on 127.0.0.1:{ingest.port}" in ingest.log_path.read_text()


def test_names_of_odd_bytes_are_no_trouble(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.start()
    name = os.fsdecode(b"epex_trades_\xff\n.csv")

    ingest.drop(as_csv([trade(price="1.5"), *rows(1)]), name)

    wait_until(lambda: not (ingest.inbox / name).exists(), timeout_s=10, what="it is archived")
    ingest.wait_archived("epex_trades___.csv")
    assert len(fake.trades) == 1


def test_two_processes_never_use_one_spool(ingest: IngestProcess, tmp_path: Path, fake: FakeGateway) -> None:
    ingest.start()
    other = run_for(tmp_path / "other", fake, WATTBOOK_INGEST_STORE_URL=ingest.store_url)
    other.log_path.parent.mkdir()
    other.launch()

    assert other.process is not None
    assert other.process.wait(40) == 1
    assert "another ingest-service uses this store; give each its own" in other.log_path.read_text()
    ingest.kill()
    other.start()
    other.kill()
