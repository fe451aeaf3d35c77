"""kill -9 of the ingest service in every step of a file's way: nothing is lost, doubled or left over."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.ingest_process import NAME, IngestProcess, run_for
from tests.support import engines
from tests.support.disks import small_disk
from tests.support.trades import as_csv, trade
from tests.support.waiting import wait_until
from tests.unit.ingest_service.fakes import POINTS, FakeGateway

pytestmark = pytest.mark.slow

GOOD = 3000
CONTENT = as_csv([trade(price="1.5"), *(trade() for _ in range(GOOD)), trade(price="2.5")])


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    gateway = FakeGateway().up()
    yield gateway
    gateway.down()


@pytest.fixture
def ingest(tmp_path: Path, fake: FakeGateway) -> Iterator[IngestProcess]:
    service = run_for(tmp_path, fake)
    yield service
    service.kill()


def assert_done_once(ingest: IngestProcess, fake: FakeGateway, content: str = CONTENT) -> None:
    """The end is the same wherever the service was killed."""
    assert ingest.wait_archived() == content.encode()
    assert len(fake.trades) == GOOD
    assert [row["price"] for row in ingest.rejected_rows()] == ["1.5", "2.5"]
    assert [path.name for path in ingest.archive.iterdir()] == [NAME]
    assert [path.name for path in ingest.rejected.iterdir()] == [NAME]
    assert ingest.terminate() == 0
    ingest.assert_tidy()


class Lock:
    """Another one writes to the ledger, so that the service stops before its next entry."""

    def __init__(self, ingest: IngestProcess) -> None:
        self._held = ExitStack()
        self._held.enter_context(engines.locked(ingest.store_url))

    def release(self) -> None:
        self._held.close()


@pytest.mark.parametrize("point", POINTS)
def test_killed_during_the_upload(ingest: IngestProcess, fake: FakeGateway, point: str) -> None:
    held = fake.hold(point)
    ingest.drop(CONTENT)
    ingest.start()
    assert held.reached.wait(15)

    ingest.kill()

    fake.release()
    ingest.start()
    assert_done_once(ingest, fake)


def test_killed_before_the_first_entry(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.start()
    lock = Lock(ingest)
    ingest.drop(CONTENT)
    ingest.wait_said("the store failed")  # it waited for the lock in vain: its entry is due
    assert fake.token_requests == 0

    ingest.kill()

    lock.release()
    ingest.start()
    assert_done_once(ingest, fake)


def test_an_orderly_stop_does_not_wait_for_a_locked_ledger(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.start()
    lock = Lock(ingest)
    ingest.drop(CONTENT)
    ingest.wait_said("the store failed")
    time.sleep(1)  # into the next try; at whatever moment, the stop must be quick

    assert ingest.terminate(timeout_s=5) == 0

    lock.release()
    ingest.start()
    assert_done_once(ingest, fake)


def test_killed_between_the_answer_and_its_entry(ingest: IngestProcess, fake: FakeGateway) -> None:
    held = fake.hold("half the answer")
    ingest.drop(CONTENT)
    ingest.start()
    assert held.reached.wait(15)
    lock = Lock(ingest)
    fake.release()
    ingest.wait_said("the store failed")
    assert fake.uploads

    ingest.kill()

    lock.release()
    ingest.start()
    assert_done_once(ingest, fake)


def test_killed_as_soon_as_the_refused_rows_are_there(ingest: IngestProcess, fake: FakeGateway) -> None:
    ingest.drop(CONTENT)
    ingest.start()
    deadline = time.monotonic() + 15
    while not (ingest.rejected / NAME).exists():
        assert time.monotonic() < deadline

    ingest.kill()

    ingest.start()
    assert_done_once(ingest, fake)


@pytest.fixture
def killed_before_the_move(ingest: IngestProcess, fake: FakeGateway) -> IngestProcess:
    """Everything is booked and written down; the original lies in the inbox."""
    held = fake.hold("booked")
    ingest.drop(CONTENT)
    ingest.start()
    assert held.reached.wait(15)
    with small_disk(ingest.archive, mebibytes=1):  # nothing is moved from one disk to another
        fake.release()
        ingest.wait_said("cannot move it to")
        ingest.kill()
    assert list(ingest.ledger().values()) == ["uploaded"]
    ingest.archive.rmdir()
    return ingest


def test_killed_before_the_move(killed_before_the_move: IngestProcess, fake: FakeGateway) -> None:
    killed_before_the_move.start()

    assert_done_once(killed_before_the_move, fake)
    assert len(fake.uploads) == 1


def test_killed_between_the_move_and_its_entry(
    killed_before_the_move: IngestProcess, fake: FakeGateway
) -> None:
    ingest = killed_before_the_move
    ingest.archive.mkdir()
    (ingest.inbox / NAME).rename(ingest.archive / NAME)

    ingest.start()

    assert_done_once(ingest, fake)
    assert len(fake.uploads) == 1


def test_killed_right_after_moving_a_file_that_had_just_grown(
    killed_before_the_move: IngestProcess, fake: FakeGateway
) -> None:
    ingest = killed_before_the_move
    ingest.archive.mkdir()
    (ingest.inbox / NAME).rename(ingest.archive / NAME)
    more = as_csv([trade()]).split("\n", 1)[1]
    with (ingest.archive / NAME).open("a") as writer:
        writer.write(more)

    ingest.start()

    wait_until(lambda: len(fake.trades) == GOOD + 1, timeout_s=15, what="the late row is booked")
    wait_until(lambda: not (ingest.inbox / NAME).exists(), timeout_s=15, what="it is archived again")
    assert (CONTENT + more).encode() in {path.read_bytes() for path in ingest.archive.iterdir()}


def test_killed_while_the_whole_file_is_refused(ingest: IngestProcess, fake: FakeGateway) -> None:
    held = fake.hold("request")
    ingest.drop("id,price\n1,2\n")
    ingest.start()
    assert held.reached.wait(15)
    ingest.kill()

    fake.release()
    ingest.start()

    assert ingest.wait_archived() == b"id,price\n1,2\n"
    (row,) = ingest.rejected_rows()
    assert row["reason"].startswith("the whole file was refused: missing columns")
    ingest.assert_tidy()


def test_killed_again_and_again_at_random_moments(ingest: IngestProcess, fake: FakeGateway) -> None:
    chooser = random.Random(7)
    contents = {
        f"epex_trades_{day}.csv": as_csv([trade(price="1.5"), *(trade() for _ in range(500))])
        for day in range(12)
    }
    for name, content in contents.items():
        ingest.drop(content, name)

    kills = 0
    while any(ingest.inbox.glob("epex*")) and kills < 20:
        tokens = fake.token_requests
        ingest.launch()
        wait_until(lambda known=tokens: fake.token_requests > known, timeout_s=20, what="it uploads")
        time.sleep(chooser.uniform(0, 0.15))  # not waiting for anything: the moment shall be any
        ingest.kill()
        kills += 1

    ingest.start()
    for name, content in contents.items():
        assert ingest.wait_archived(name) == content.encode()
        assert len(ingest.rejected_rows(name)) == 1
    assert len(fake.trades) == 12 * 500
    assert kills >= 3
    ingest.assert_tidy()
