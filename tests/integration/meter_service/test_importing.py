"""Flow files in, on both engines: what is stored, what is rejected, what is known already."""

from __future__ import annotations

import io
import threading
import zipfile
from datetime import datetime, timedelta, timezone
from itertools import permutations

import hypothesis.strategies as st
import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from meter_service.domain.files import Result
from meter_service.models import FlowFile, FlowFileError, MeterPoint, Reading, Register, ServiceOrder
from meter_service.store import files
from meter_service.usecases import catch_up, look_at, preview, retry, withdraw
from wattbook.errors import Conflict, InvalidInput, NotFound, Unavailable

from tests.support import meters
from tests.support.engines import locked
from tests.support.meters import CLOCK, imported, one, orphans, state
from tests.support.nem13 import HEADER, content, published_sample, reading

pytestmark = pytest.mark.usefixtures("store")
GOOD = reading()
LATER = reading(at="20040207100333", previous_at="20040107100333")
CORRECTED = reading(value="00087.5", quantity="11.0", updated="20040109090000")
HELD = content(GOOD, "550,N,WO1,N,WO2", LATER)
CORRECTION = content(CORRECTED, header=HEADER.replace("0108", "0109"))


def current(**where: object) -> list[str]:
    return list(
        Reading.objects.filter(is_current=True, **where)
        .order_by("read_at")
        .values_list("value_text", flat=True)
    )


# --- in


def test_a_file_is_kept_and_its_readings_are_stored_and_the_books_balance() -> None:
    outcome = one(HELD, name="NEM13#1#MDA1#RET1.csv")

    assert (outcome.result, outcome.counts.records, outcome.counts.stored) == (Result.IMPORTED, 2, 2)
    file = FlowFile.objects.get()
    assert (file.state, file.kind, file.header_from, file.records) == ("imported", "NEM13", "MDA1", 2)
    assert b"".join(files.original(file.pk)) == HELD
    assert ServiceOrder.objects.get().current_order == "WO2"
    stored = Reading.objects.get(line=2)
    assert stored.read_at == datetime(2004, 1, 7, 10, 3, 33, tzinfo=timezone(timedelta(hours=10)))
    assert (stored.value, stored.quantity, str(stored.next_read_on)) == (86_500, 10_000_000, "2004-04-01")
    assert (stored.register.meter.serial, stored.register.meter.meter_point.nmi) == (
        "METER0001",
        "1234567890",
    )


def test_the_published_sample_is_stored_as_its_facts_say() -> None:
    one(published_sample())

    assert (Reading.objects.count(), MeterPoint.objects.count(), Register.objects.count()) == (10, 8, 10)
    assert sum(Reading.objects.values_list("quantity", flat=True)) == 4_956_000_000


def test_the_same_content_again_is_already_known_whatever_its_name() -> None:
    one(HELD)
    before = state()

    again = one(HELD, name="other.csv")

    assert (again.result, again.counts.stored) == (Result.KNOWN, 2)
    assert (FlowFile.objects.count(), state()) == (1, before)


def test_one_name_with_other_content_is_another_file() -> None:
    assert [one(HELD).result, one(CORRECTION).result] == [Result.IMPORTED, Result.IMPORTED]


def test_a_rejected_file_leaves_nothing_but_its_record_its_errors_and_its_original() -> None:
    bad = content(GOOD, reading(value="x"), reading(nmi="1"))

    outcome = one(bad)

    assert (outcome.result, outcome.findings.error_count) == (Result.REJECTED, 2)
    file = FlowFile.objects.get()
    assert (file.state, file.error_count, file.records) == ("rejected", 2, 0)
    assert [(e.line, e.field, e.found) for e in FlowFileError.objects.order_by("number")] == [
        (3, "CurrentRegisterRead", "x"), (4, "NMI", "1"),
    ]  # fmt: skip
    assert b"".join(files.original(file.pk)) == bad
    assert (Reading.objects.count(), MeterPoint.objects.count(), ServiceOrder.objects.count()) == (0, 0, 0)


def test_warnings_are_kept_by_kind_with_their_first_lines() -> None:
    one(content(reading(serial=""), reading(serial="", register="02")))

    kept = FlowFile.objects.get().warnings.get()
    assert (kept.kind, kept.count, kept.lines) == ("blank_serial", 2, [2, 3])


def test_texts_that_mean_something_to_an_engine_are_kept_as_they_are() -> None:
    words = "back\\slash None \\N 'quote' %s <script>"

    one(content(reading(quality="S64", reason="0", words=words)))

    assert Reading.objects.get().reason_text == words


def test_an_identical_row_in_one_file_is_stored_once_with_a_warning() -> None:
    outcome = one(content(GOOD, GOOD, LATER))

    assert (outcome.counts.stored, outcome.counts.duplicates) == (2, 1)
    assert outcome.findings.warnings["duplicate_in_file"].lines == [3]


def test_two_contents_for_a_key_in_one_file_are_both_kept_and_the_later_is_current() -> None:
    outcome = one(content(CORRECTED, GOOD))

    assert (outcome.counts.stored, outcome.counts.superseded) == (1, 1)
    assert current() == ["00087.5"]


def test_a_correction_supersedes_and_an_older_version_that_comes_late_is_superseded_on_arrival() -> None:
    late = content(reading(value="00080.0", updated="20040107120000"))

    assert one(HELD).counts.stored == 2
    assert one(CORRECTION).counts.stored == 1
    assert one(late).counts.superseded == 1

    assert current() == ["00087.5", "00086.5"]
    assert Reading.objects.filter(is_current=False).count() == 2


def test_the_database_itself_allows_one_current_version() -> None:
    one(HELD)
    twice = Reading.objects.first()
    twice.pk = None

    with pytest.raises(IntegrityError), transaction.atomic():
        twice.save()


# --- known content in several files


def test_a_version_lives_as_long_as_one_file_holds_it() -> None:
    first, second = HELD, content(GOOD, "550,N,WO1,N,WO2", header=HEADER.replace("0108", "0110"))
    one(first)
    assert one(second).counts.duplicates == 1

    meters.withdrawn(FlowFile.objects.get(records=1).sha256)
    assert len(current()) == 2
    one(second)
    meters.withdrawn(FlowFile.objects.get(records=2, state="imported").sha256)
    assert current() == ["00086.5"]
    meters.withdrawn(FlowFile.objects.get(state="imported").sha256)
    assert (Reading.objects.count(), ServiceOrder.objects.count()) == (0, 0)


def test_withdrawing_brings_back_what_was_before_and_counts_first() -> None:
    one(HELD)
    correction = one(CORRECTION)
    assert correction.file_id is not None

    shown = preview(correction.file_id)
    before = state()
    done = withdraw(correction.file_id, by="ann", reason="sent in error", clock=CLOCK)

    assert before != state()
    assert shown == done
    assert (done.gone, done.become_current) == (1, 1)
    assert current() == ["00086.5", "00086.5"]
    file = FlowFile.objects.get(pk=correction.file_id)
    assert (file.state, file.withdrawn_by, file.withdrawn_reason) == ("withdrawn", "ann", "sent in error")


def test_a_withdrawn_content_may_be_imported_again_as_a_new_record() -> None:
    first = one(CORRECTION)
    meters.withdrawn(first.sha256)

    again = one(CORRECTION)

    assert (again.result, again.file_id != first.file_id) == (Result.IMPORTED, True)
    assert FlowFile.objects.count() == 2


def test_what_cannot_be_withdrawn_is_refused_and_twice_is_once() -> None:
    good, bad = one(HELD), one(content(reading(value="x")))
    assert good.file_id is not None
    assert bad.file_id is not None

    with pytest.raises(InvalidInput):
        withdraw(good.file_id, by="ann", reason=" ", clock=CLOCK)
    with pytest.raises(Conflict):
        withdraw(bad.file_id, by="ann", reason="x", clock=CLOCK)
    with pytest.raises(NotFound):
        withdraw(99, by="ann", reason="x", clock=CLOCK)
    assert withdraw(good.file_id, by="ann", reason="x", clock=CLOCK).gone == 2
    assert withdraw(good.file_id, by="ben", reason="y", clock=CLOCK).gone == 0
    assert FlowFile.objects.get(pk=good.file_id).withdrawn_by == "ann"
    with pytest.raises(Conflict):
        retry(good.file_id, clock=CLOCK)


def test_a_rejected_file_can_be_tried_again() -> None:
    bad = one(content(reading(value="x")))
    assert bad.file_id is not None

    assert retry(bad.file_id, clock=CLOCK).result == Result.REJECTED
    assert FlowFileError.objects.count() == 1


FILES = [
    content(GOOD, LATER, GOOD),
    content(GOOD, "550,N,WO1,N,"),
    CORRECTION,
    content(CORRECTED, LATER, header=HEADER.replace("0108", "0110")),
    content(reading(value="1", updated=""), header=HEADER.replace("0108", "0111")),
    content(reading(value="2", updated=""), LATER, header=HEADER.replace("200401080900", "")),
]


def test_every_order_of_three_files_ends_in_the_same_state(store: str) -> None:
    ends = []
    for order in permutations(FILES[2:5]):
        for file in order:
            one(file)
        ends.append(state())
        for file in FlowFile.objects.filter(state="imported"):
            withdraw(file.pk, by="tests", reason="again", clock=CLOCK)
        assert not state()

    assert all(end == ends[0] for end in ends)


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(range(len(FILES))), st.lists(st.integers(0, len(FILES) - 1), max_size=4), st.data())
def test_any_order_of_imports_and_withdrawals_ends_as_importing_the_remaining_files_alone(
    order: list[int], gone: list[int], data: st.DataObject
) -> None:
    steps = [("in", at) for at in order]
    for at in dict.fromkeys(gone):
        place = data.draw(st.integers(steps.index(("in", at)) + 1, len(steps)))
        steps.insert(place, ("out", at))
    kept: dict[int, str] = {}
    for what, at in steps:
        if what == "in":
            kept[at] = one(FILES[at]).sha256
        else:
            meters.withdrawn(kept.pop(at))
    end = state()
    assert orphans() == 0
    for sha256 in kept.values():
        meters.withdrawn(sha256)
    assert not state()
    for at in sorted(kept):
        one(FILES[at])

    assert state() == end
    for sha256 in kept.values():
        meters.withdrawn(sha256)


# --- interrupted, and at once


def test_a_file_that_was_only_received_is_caught_up() -> None:
    source = io.BytesIO(HELD)
    files.receive(
        source,
        name="a.csv",
        member="",
        sha256=files.sha256_of(source),
        way="command",
        sent_by="x",
        at=CLOCK.now(),
    )

    assert [outcome.result for outcome in catch_up(clock=CLOCK)] == [Result.IMPORTED]
    assert catch_up(clock=CLOCK) == []
    assert len(current()) == 2


def test_an_import_that_fails_midway_leaves_the_file_received(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("meter_service.usecases.importing.files.write_imported", full)
        with pytest.raises(Unavailable, match="No space"):
            one(HELD)
    assert (FlowFile.objects.get().state, Reading.objects.count()) == ("received", 0)

    assert one(HELD).result == Result.KNOWN  # and caught up by the way
    assert len(current()) == 2


def test_the_same_new_content_by_many_at_once_is_one_file(store: str) -> None:
    results: list[str] = []

    def send() -> None:
        results.append(one(HELD).result)
        meters.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [Result.KNOWN] * 7 + [Result.IMPORTED]
    assert (FlowFile.objects.count(), Reading.objects.count()) == (1, 2)


def test_files_with_the_same_registers_at_once_end_as_one_after_the_other() -> None:
    threads = [threading.Thread(target=lambda file=file: (one(file), meters.close())) for file in FILES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    at_once = state()
    for file in FlowFile.objects.filter(state="imported"):
        withdraw(file.pk, by="tests", reason="again", clock=CLOCK)
    for file in FILES:
        one(file)

    assert state() == at_once
    assert Reading.objects.filter(is_current=True).count() == 2


# --- looked at only


def test_looking_at_a_file_keeps_nothing_of_it() -> None:
    (good,) = look_at(io.BytesIO(HELD), name="a.csv")
    (bad,) = look_at(io.BytesIO(content(reading(value="x"))), name="a.csv")

    assert (good.result, good.counts.records, bad.result) == (Result.VALID, 2, Result.REJECTED)
    assert FlowFile.objects.count() == 0


# --- archives


def archive(members: dict[str, bytes], **more: object) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as made:
        for name, member in members.items():
            made.writestr(name, member)
    return held.getvalue()


def test_each_member_of_an_archive_has_its_own_record_and_the_rest_is_left_alone() -> None:
    outcomes = imported(
        archive({"in/NEM13#a.csv": HELD, "bad.V01": content(reading(value="x")), "readme.pdf": b"x",
                 "__MACOSX/._a.csv": b"x", "in/": b""}),
        name="all.zip",
    )  # fmt: skip

    assert {each.title: each.result for each in outcomes} == {
        "all.zip/in/NEM13#a.csv": Result.IMPORTED, "all.zip/bad.V01": Result.REJECTED,
        "all.zip/readme.pdf": Result.LEFT_ALONE, "all.zip/__MACOSX/._a.csv": Result.LEFT_ALONE,
        "all.zip/in/": Result.LEFT_ALONE,
    }  # fmt: skip


def _refusal(content_of_zip: bytes) -> str:
    outcome = one(content_of_zip, name="x.zip")
    assert outcome.result == Result.REJECTED
    assert FlowFile.objects.get().state == "rejected"
    return outcome.findings.errors[0].expected


def test_a_zip_bomb_is_refused() -> None:
    assert "200 times" in _refusal(archive({"a.csv": b"0" * 10_000_000}))


def test_an_archive_within_an_archive_is_refused() -> None:
    assert "within" in _refusal(archive({"a.csv": HELD, "b.zip": archive({"a.csv": HELD})}))


def test_an_archive_with_a_password_is_refused() -> None:
    locked_up = bytearray(archive({"a.csv": HELD}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked_up[locked_up.find(signature) + flags] |= 1

    assert "password" in _refusal(bytes(locked_up))


def test_a_torn_archive_is_refused() -> None:
    assert "torn" in _refusal(archive({"a.csv": HELD})[:-30])


def test_an_archive_of_10001_members_is_refused() -> None:
    assert "10,001" in _refusal(archive({f"{at}.csv": b"" for at in range(10_001)}))


@pytest.mark.parametrize("name", ["../x.csv", "/etc/x.csv", "a/../../x.csv", "c:\\x.csv"])
def test_a_member_that_points_outside_is_refused(name: str) -> None:
    assert "outside" in _refusal(archive({name: HELD}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused() -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        made.writestr("a.csv", HELD)
        made.writestr("a.csv", CORRECTION)

    assert "named 'a.csv'" in _refusal(held.getvalue())


def test_an_archive_without_a_flow_file_is_refused() -> None:
    assert "no flow file" in _refusal(archive({"a.pdf": b"x"}))


def test_a_member_that_is_torn_is_rejected_and_the_others_go_in() -> None:
    spoiled = bytearray(archive({"a.csv": HELD, "b.csv": CORRECTION}))
    spoiled[60] ^= 0xFF

    results = [outcome.result for outcome in imported(bytes(spoiled), name="x.zip")]

    assert results == [Result.REJECTED, Result.IMPORTED]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/passwd", "passwd"), ("a#b/c.csv", "c.csv"), ("=HYPERLINK(1)", "=HYPERLINK(1)"),
     ("x" * 4_000, "x" * 255), ("a\0b", "a\ufffdb"), ("", "unnamed")],
)  # fmt: skip
def test_a_name_is_kept_as_text_without_its_folders(sent: str, kept: str) -> None:
    assert one(HELD, name=sent).name == kept


# --- the schema, and the store


def test_models_and_migrations_agree(store: str) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_a_store_that_is_locked_is_unavailable_and_nothing_is_half_stored(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meter_service.settings._WRITE_WAIT_S", 0.1)
    monkeypatch.setattr("meter_service.store.connection._WAIT_S", 0.1)
    meters.use(store)

    with locked(store), pytest.raises(Unavailable, match="locked"):
        one(HELD)

    assert Reading.objects.count() == 0
    assert one(HELD).counts.stored == 2
