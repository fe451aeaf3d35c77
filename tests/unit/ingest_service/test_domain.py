"""Names, dates and waits of nightly files."""

from __future__ import annotations

import datetime
import itertools

import pytest
from ingest_service.domain import (
    Candidate,
    Counts,
    Entry,
    Fingerprint,
    Kind,
    Stillness,
    date_warning,
    is_exchange_file,
    is_temporary,
    kept_names,
    shown,
)

FINGERPRINT = Fingerprint(1, 2, 3, 4, 5)
STILLNESS = Stillness(settle_s=2.0, settle_unknown_s=120.0)


@pytest.mark.parametrize("name", ["epex_trades_20230220.csv", "epex_trades_.csv", "epex_trades_a b\n.csv"])
def test_the_exchange_s_names_are_wanted(name: str) -> None:
    assert is_exchange_file(name)


@pytest.mark.parametrize(
    "name",
    [
        "EPEX_trades_1.csv",
        "epex_trades_1.CSV",
        "epex_trades_1.csv.part",
        "xepex_trades_1.csv",
        "epex_trades.csv",
    ],
)
def test_other_names_are_not_wanted(name: str) -> None:
    assert not is_exchange_file(name)


@pytest.mark.parametrize(
    ("name", "temporary"),
    [
        (".epex_trades_1.csv.Xa3", True),
        ("epex_trades_1.csv.part", True),
        ("epex_trades_1.csv.filepart", True),
        ("epex_trades_1.csv~", True),
        ("epex_trades_1.csv", False),
        ("notes.txt", False),
    ],
)
def test_names_that_writers_use_meanwhile_are_known(name: str, temporary: bool) -> None:
    assert is_temporary(name) is temporary


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("epex_trades_1.csv", Kind.FOLDER, "it is a folder, not a file"),
        ("epex_trades_1.csv", Kind.LINK, "it is a symbolic link, not a file"),
        ("epex_trades_1.csv", Kind.OTHER, "it is neither a file nor a folder, not a file"),
        ("notes.txt", Kind.FILE, "its name is neither epex_trades_*.csv nor NEM13#*.csv"),
        ("elsewhere", Kind.FOLDER, "its name is neither epex_trades_*.csv nor NEM13#*.csv"),
        ("archive", Kind.FILE, "its name is neither epex_trades_*.csv nor NEM13#*.csv"),
    ],
)
def test_what_is_left_alone_gets_a_reason(name: str, kind: Kind, said: str) -> None:
    entry = Entry(name, kind, FINGERPRINT)

    assert entry.is_worth_a_word
    assert entry.left_alone_because == said


@pytest.mark.parametrize(
    ("name", "kind"), [("archive", Kind.FOLDER), (".x", Kind.FILE), ("a.part", Kind.FILE)]
)
def test_what_belongs_there_is_passed_over_quietly(name: str, kind: Kind) -> None:
    assert not Entry(name, kind, FINGERPRINT).is_worth_a_word


def test_a_file_is_kept_under_its_own_name_or_a_numbered_one() -> None:
    names = list(itertools.islice(kept_names("epex_trades_1.csv"), 3))

    assert names == ["epex_trades_1.csv", "epex_trades_1-2.csv", "epex_trades_1-3.csv"]


@pytest.mark.parametrize("name", ["epex_trades_\udcff\n\x1b.csv", f"epex_trades_{'ü' * 118}.csv"])
def test_a_kept_name_is_one_that_every_log_and_disk_takes(name: str) -> None:
    kept = next(itertools.islice(kept_names(name), 20, None))

    assert len(kept.encode()) <= 255
    assert kept.isprintable()
    assert is_exchange_file(kept)


def test_a_name_of_odd_bytes_can_be_shown() -> None:
    assert shown("epex_trades_\udcff.csv") == r"epex_trades_\xff.csv"


def test_a_name_that_would_steer_a_terminal_is_written_out() -> None:
    assert shown("epex_trades_\x1b]0;hacked\x07\u202e.csv") == r"epex_trades_\x1b]0;hacked\x07\u202e.csv"


@pytest.mark.parametrize(
    ("name", "day", "warned"),
    [
        ("epex_trades_20230220.csv", "2023-02-28", "rows have delivery days 2023-02-28"),
        ("epex_trades_20230228.csv", "2023-02-28", None),
        ("epex_trades_20230301.csv", "2023-02-28", None),
        ("epex_trades_20230228_again.csv", "2023-03-01", None),
        ("epex_trades_20230230.csv", "2023-02-28", "is none"),
        ("epex_trades_202302281.csv", "2023-02-28", "no date"),
        ("epex_trades_x.csv", "2023-02-28", "no date"),
    ],
)
def test_odd_dates_are_warned_of(name: str, day: str, warned: str | None) -> None:
    said = date_warning(name, [datetime.date.fromisoformat(day)])

    assert said is None if warned is None else warned in str(said)


def test_a_file_without_rows_has_no_odd_dates() -> None:
    assert date_warning("epex_trades_20230220.csv", []) is None


def test_any_change_starts_the_wait_anew() -> None:
    first = Candidate(FINGERPRINT, seen_since_s=0.0, still_since_s=10.0, renamed_in=True, not_before_s=99.0)
    grown = Fingerprint(1, 2, 30, 4, 5)

    assert first.seen(FINGERPRINT, now_s=11.0) is first
    assert first.due_s(STILLNESS) == 99.0
    assert first.seen(grown, now_s=11.0).due_s(STILLNESS) == 13.0


def test_a_file_that_was_renamed_into_place_is_due_at_once() -> None:
    renamed = Candidate(FINGERPRINT, seen_since_s=0.0, still_since_s=10.0, renamed_in=True)

    assert renamed.due_s(STILLNESS) == 10.0


def test_a_move_is_no_change_of_content() -> None:
    assert FINGERPRINT.same_content(Fingerprint(1, 2, 3, 4, 99))
    assert not FINGERPRINT.same_content(Fingerprint(1, 2, 3, 9, 5))


def test_counts_add_up() -> None:
    assert Counts(1, 2, 3, 4) + Counts(10, 20, 30, 40) == Counts(11, 22, 33, 44)
    assert Counts(1, 2, 3, 4).refused == 7
