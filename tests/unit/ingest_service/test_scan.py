"""Scans and the watch over them, in this process: what is hard to bring about from outside."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from ingest_service.app import Settings, build_inbox
from ingest_service.clients import DropFolder, Gateway
from ingest_service.domain import FileRecord, NotYet, Stillness
from ingest_service.store import Ledger
from ingest_service.usecases import Importer, Scanner
from watchdog.observers import Observer
from wattbook.clock import FakeClock, to_epoch_us
from wattbook.db import Store, migrate, open_store
from wattbook.errors import Unavailable

from tests.support.trades import as_csv, trade
from tests.unit.ingest_service.fakes import CLIENT_ID, CLIENT_SECRET, FakeGateway

NAME = "epex_trades_20230228.csv"
START = datetime.datetime(2023, 2, 28, tzinfo=datetime.UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/ingest.db", name="ingest")
    migrate(opened, "ingest_service")
    yield opened
    opened.close()


class Desk:
    """A scanner with a clock that the test moves; everything else is real."""

    def __init__(self, inbox: Path, store: Store, fake: FakeGateway) -> None:
        self.inbox = inbox
        self._store = store
        self._fake = fake
        self.clock = FakeClock(START)

    def run(self, script: Callable[[Scanner, Importer], Awaitable[None]]) -> None:
        asyncio.run(self._run(script))

    async def _run(self, script: Callable[[Scanner, Importer], Awaitable[None]]) -> None:
        importer = Importer(
            folder=DropFolder(self.inbox),
            ledger=Ledger(self._store, self.clock),
            gateway=Gateway(
                url=self._fake.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, clock=self.clock
            ),
            clock=self.clock,
        )
        importer.folder.prepare()
        try:
            stillness = Stillness(settle_s=2.0, settle_unknown_s=120.0)
            scanner = Scanner(importer, stillness=stillness, recheck_s=3600.0, rng=random.Random(1))
            await script(scanner, importer)
        finally:
            await importer.gateway.close()


@pytest.fixture
def desk(tmp_path: Path, store: Store, fake: FakeGateway) -> Desk:
    return Desk(tmp_path / "inbox", store, fake)


def test_a_file_is_taken_once_it_stood_still_long_enough(desk: Desk, fake: FakeGateway) -> None:
    async def script(scanner: Scanner, _importer: Importer) -> None:
        (desk.inbox / NAME).write_text(as_csv([trade()]))
        assert scanner.next_due_in_s() is None
        await scanner.scan()
        assert scanner.next_due_in_s() == 2.0
        desk.clock.advance(1.5)
        (desk.inbox / NAME).write_text(as_csv([trade(), trade()]))
        await scanner.scan()
        desk.clock.advance(1.5)
        await scanner.scan()
        assert fake.uploads == []

        desk.clock.advance(0.5)
        await scanner.scan()

        assert len(fake.trades) == 2
        assert scanner.next_due_in_s() is None

    desk.run(script)


@pytest.mark.parametrize("leases", [True, False])
def test_a_rename_shortens_the_wait_only_where_nobody_can_still_write(
    desk: Desk, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, leases: bool
) -> None:
    if not leases:
        monkeypatch.setattr("fcntl.F_SETLEASE", -1)

    async def script(scanner: Scanner, _importer: Importer) -> None:
        (desk.inbox / NAME).write_text(as_csv([trade()]))
        scanner.heard_of_rename(NAME)
        await scanner.scan()
        assert len(fake.uploads) == (1 if leases else 0)

        desk.clock.advance(2)
        await scanner.scan()
        assert len(fake.uploads) == 1

    desk.run(script)


def test_a_file_whose_writer_nobody_knows_waits_for_long_and_is_said_once(
    desk: Desk, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("fcntl.F_SETLEASE", -1)

    async def script(scanner: Scanner, _importer: Importer) -> None:
        (desk.inbox / NAME).write_text(as_csv([trade()]))
        for advance_s, waiting in ((2, 0), (60, 1), (57, 1)):
            await scanner.scan()
            desk.clock.advance(advance_s)
            await scanner.scan()
            assert len(scanner.waiting()) == waiting
        assert fake.uploads == []
        assert [(each.name, each.since_us) for each in scanner.waiting()] == [(NAME, to_epoch_us(START))]
        said = "nobody can tell whether it is still written to: it must not change for 120 s"
        assert scanner.waiting()[0].waits_for == said
        assert caplog.text.count(f"{NAME} waits in the inbox for over a minute: {said}") == 1

        desk.clock.advance(1)
        await scanner.scan()
        assert len(fake.trades) == 1
        assert scanner.waiting() == []

    desk.run(script)


def test_a_file_that_was_written_to_after_it_was_archived_is_imported_again(
    desk: Desk, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of it was there, and its writer, who nobody knew of, was only slow."""
    monkeypatch.setattr("fcntl.F_SETLEASE", -1)
    rows = [trade() for _ in range(10)]
    whole = as_csv(rows)

    async def script(scanner: Scanner, _importer: Importer) -> None:
        async def later(seconds: float) -> None:
            desk.clock.advance(seconds)
            await scanner.scan()

        with (desk.inbox / NAME).open("w") as writer:
            writer.write(as_csv(rows[:5]))
            writer.flush()
            await scanner.scan()
            for _ in range(2):
                await later(120)
            assert len(fake.trades) == 5
            await later(61)
            assert (desk.inbox / "archive" / NAME).exists()

            writer.write(whole[len(as_csv(rows[:5])) :])
        await later(61)
        assert (desk.inbox / NAME).exists()
        assert "was written to after it was archived" in caplog.text
        for _ in range(2):
            await later(120)

        assert len(fake.trades) == 10
        assert (desk.inbox / "archive" / NAME).read_text() == whole
        assert [path.name for path in (desk.inbox / "archive").iterdir()] == [NAME]

        (desk.inbox / "archive" / NAME).write_text("long after")
        await later(3601)
        await later(61)
        assert not (desk.inbox / NAME).exists()

    desk.run(script)


def test_failures_are_tried_again_ever_later_and_soon_after_a_success(desk: Desk, fake: FakeGateway) -> None:
    async def script(scanner: Scanner, _importer: Importer) -> None:
        fake.down()
        (desk.inbox / NAME).write_text(as_csv([trade()]))
        await scanner.scan()
        waits = []
        for _ in range(12):
            desk.clock.advance(scanner.next_due_in_s() or 0.0)
            await scanner.scan()
            waits.append(scanner.next_due_in_s() or 0.0)
        assert min(waits) >= 0.1
        assert 5 < max(waits) <= 30

        fake.up()
        desk.clock.advance(30)
        await scanner.scan()
        assert len(fake.trades) == 1

        fake.down()
        (desk.inbox / NAME).write_text(as_csv([trade()]))
        await scanner.scan()
        desk.clock.advance(2)
        await scanner.scan()
        assert (scanner.next_due_in_s() or 0.0) <= 0.5

    desk.run(script)


def test_a_ledger_that_cannot_be_used_is_waited_for(
    desk: Desk, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(scanner: Scanner, importer: Importer) -> None:
        def fail(**_: object) -> None:
            raise Unavailable("the store cannot write now: its disk is full")

        (desk.inbox / NAME).write_text(as_csv([trade()]))
        scanner.heard_of_rename(NAME)
        with monkeypatch.context() as patched:
            patched.setattr(Ledger, "note", fail)
            await scanner.scan()
        assert (desk.inbox / NAME).exists()

        desk.clock.advance(30)
        await scanner.scan()
        assert (desk.inbox / "archive" / NAME).exists()

    desk.run(script)


def test_a_fault_of_ours_with_one_file_does_not_stop_the_others(
    desk: Desk, fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import_file = Importer.import_file

    async def broken(importer: Importer, name: str, *, trust_stillness: bool) -> FileRecord:
        if name == NAME:
            raise RuntimeError("a bug")
        return await import_file(importer, name, trust_stillness=trust_stillness)

    monkeypatch.setattr(Importer, "import_file", broken)

    async def script(scanner: Scanner, _importer: Importer) -> None:
        for name in (NAME, "epex_trades_20230301.csv"):
            (desk.inbox / name).write_text(as_csv([trade()]))
            scanner.heard_of_rename(name)
        await scanner.scan()

    desk.run(script)

    assert len(fake.trades) == 1
    assert "a fault of ours with epex_trades_20230228.csv" in caplog.text


def test_work_in_a_thread_is_over_before_a_stop_goes_on(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    async def script(_scanner: Scanner, importer: Importer) -> None:
        ended = []

        def work() -> None:
            importer.stopping.wait(10)
            ended.append(True)
            raise NotYet("the service is stopping")

        task = asyncio.create_task(importer.in_thread(work))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended

    with caplog.at_level(logging.ERROR):
        desk.run(script)
    assert caplog.text == ""


def test_without_file_events_the_rescan_finds_every_file(
    tmp_path: Path,
    store: Store,
    fake: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_watches_left(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "schedule", no_watches_left)
    settings = Settings(
        store_url="",
        inbox=tmp_path / "inbox",
        client_secret=CLIENT_SECRET,
        gateway_url=fake.url,
        settle_s=0.05,
        rescan_s=0.1,
    )
    archived = tmp_path / "inbox/archive" / NAME

    async def watch() -> None:
        inbox_watch, _, importer = build_inbox(settings, store, on_ready=lambda _ready: None)
        running = asyncio.create_task(inbox_watch.run())
        async with asyncio.timeout(10):
            while not (tmp_path / "inbox/rejected").exists():
                await asyncio.sleep(0.01)
            (tmp_path / "inbox" / NAME).write_text(as_csv([trade()]))
            while not archived.exists():
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await importer.gateway.close()

    asyncio.run(watch())

    assert len(fake.trades) == 1
    assert "no file events, the rescan has to do" in caplog.text
