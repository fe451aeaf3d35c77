"""Refused rows: their own bytes, their own columns, and a reason in the last one."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest_service.clients import DropFolder, SourceFile
from ingest_service.domain import FolderTrouble, ListedRow, NotYet, Verdict
from ingest_service.usecases.file_rows import FileRows

KEEP = "kept.csv"


class Rejects:
    """Writes the refused rows of a content and reads the file back."""

    def __init__(self, inbox: Path) -> None:
        self.inbox = DropFolder(inbox)
        self.inbox.prepare()
        self.folder = inbox / "rejected"
        self.descriptors: list[int] = []

    def rows(self, content: bytes, *, going: bool = True) -> FileRows:
        path = self.inbox.inbox / "source"
        path.write_bytes(content)
        self.descriptors.append(os.open(path, os.O_RDONLY))
        source = SourceFile("source", self.descriptors[-1])
        return FileRows(source, folder=self.inbox, key="key", keep_going=lambda: going)

    def of(self, content: bytes, *rows: int, reason: str = "why") -> bytes:
        read = self.rows(content)
        read.refuse([ListedRow(row, reason) for row in rows])
        read.rejected.publish(KEEP)
        return (self.folder / KEEP).read_bytes()


@pytest.fixture
def rejects(tmp_path: Path) -> Iterator[Rejects]:
    made = Rejects(tmp_path / "inbox")
    yield made
    for descriptor in made.descriptors:
        os.close(descriptor)


@pytest.mark.parametrize(
    ("content", "rows", "expected"),
    [
        pytest.param(b"a,b\n1,2\n3,4\n5,6\n", (1, 3), b"a,b,reason\n1,2,why\n5,6,why\n", id="plain"),
        pytest.param(b"a,b\r\n1,2\r\n3,4\r\n", (2,), b"a,b,reason\r\n3,4,why\r\n", id="CRLF"),
        pytest.param(b"\xef\xbb\xbfa,b\n1,2\n", (1,), b"a,b,reason\n1,2,why\n", id="BOM"),
        pytest.param(b"a,b\n1,J\xfcrgen\n", (1,), b"a,b,reason\n1,J\xfcrgen,why\n", id="Windows-1252"),
        pytest.param(b'a,b\n"1,5",2\n', (1,), b'a,b,reason\n"1,5",2,why\n', id="quoted comma"),
        pytest.param(b"a,b\n\n1,2\n\r\n\n3,4\n", (2,), b"a,b,reason\n3,4,why\n", id="blank lines"),
        pytest.param(b"a,b\n1,2\n3,4", (2,), b"a,b,reason\n3,4,why\n", id="no final newline"),
        pytest.param(b"a,b,c\n1,2,3\n4", (2,), b"a,b,c,reason\n4,,,why\n", id="torn row"),
        pytest.param(b"a,b\n1,2,3,4\n", (1,), b'a,b,reason\n1,"2,3,4",why\n', id="too many columns"),
        pytest.param(b'a,b\n1,"2\n', (1,), b'a,b,reason\n"1,""2",,why\n', id="open quote"),
        pytest.param(b"a,b\n1\r,2\n", (1,), b'a,b,reason\n"1\r,2",,why\n', id="lone carriage return"),
        pytest.param(b"a,b\n1,2\n", (7,), b"a,b,reason\n,,why\n", id="a row that is not there"),
    ],
)
def test_a_row_is_kept_with_its_reason(
    rejects: Rejects, content: bytes, rows: tuple[int, ...], expected: bytes
) -> None:
    assert rejects.of(content, *rows) == expected


@pytest.mark.parametrize(
    "row", [b"1,2", b"1", b"1,2,3", b'"1,2', b'1,"2"', b'1,2"', b'"1"x,2', b'"', b",", b"1,\xff", b"\x00,2"]
)
def test_the_reason_is_always_found_under_its_name(rejects: Rejects, row: bytes) -> None:
    rejects.of(b"a,b\n" + row + b"\n", 1, reason='price: "x", not a number')

    with (rejects.folder / KEEP).open(encoding="latin-1", newline="") as lines:
        (found,) = csv.DictReader(lines)
    assert found["reason"] == 'price: "x", not a number'
    assert None not in found


def test_a_row_of_megabytes_is_cut_and_this_is_said(rejects: Rejects) -> None:
    written = rejects.of(b"a,b\n" + b"x" * 2_000_000 + b",1\n2,3\n", 1, 2)

    assert len(written) < 100_000
    assert b"the archive has all of it" in written.splitlines()[1]
    assert written.splitlines()[2] == b"2,3,why"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b"reason\nwhy\n"),
        (b"a,b\n", b"a,b,reason\n,,why\n"),
        (b"a,b\n1,2\n3,4\n", b"a,b,reason\n1,2,why\n3,4,why\n"),
        (b"\n", b"reason\nwhy\n"),
    ],
)
def test_a_file_refused_as_a_whole_has_the_reason_in_every_row(
    rejects: Rejects, content: bytes, expected: bytes
) -> None:
    rows = rejects.rows(content)
    rows.refuse_all("why")
    rows.rejected.publish(KEEP)

    assert (rejects.folder / KEEP).read_bytes() == expected


def test_rows_may_come_some_at_a_time(rejects: Rejects) -> None:
    rows = rejects.rows(b"a\n1\n2\n3\n4\n")
    rows.refuse([ListedRow(1, "x")])
    rows.refuse([ListedRow(3, "y"), ListedRow(4, "z")])
    rows.rejected.publish(KEEP)

    assert (rejects.folder / KEEP).read_bytes() == b"a,reason\n1,x\n3,y\n4,z\n"


def test_nothing_is_left_of_what_was_not_published(rejects: Rejects) -> None:
    rows = rejects.rows(b"a\n1\n")
    rows.refuse([ListedRow(1, "x")])
    assert len(os.listdir(rejects.folder)) == 1

    rows.rejected.discard()

    assert os.listdir(rejects.folder) == []


def test_a_row_that_corrected_the_book_is_not_among_them(rejects: Rejects) -> None:
    rows = rejects.rows(b"a\n1\n2\n")
    rows.refuse([ListedRow(1, "added", Verdict.CORRECTED), ListedRow(2, "x")])
    rows.rejected.publish(KEEP)

    assert (rejects.folder / KEEP).read_bytes() == b"a,reason\n2,x\n"


def test_without_refused_rows_there_is_no_file(rejects: Rejects) -> None:
    rejects.rows(b"a\n1\n").rejected.publish(KEEP)

    assert os.listdir(rejects.folder) == []


def test_writing_is_broken_off_when_the_service_stops(rejects: Rejects) -> None:
    with pytest.raises(NotYet, match="stopping"):
        rejects.rows(b"a\n1\n", going=False)


def test_a_link_under_the_temporary_name_is_not_followed(rejects: Rejects) -> None:
    (rejects.folder / "precious").write_bytes(b"precious")
    (rejects.folder / ".key.part").symlink_to(rejects.folder / "precious")

    with pytest.raises(FolderTrouble):
        rejects.rows(b"a\n1\n").refuse([ListedRow(1, "x")])

    assert (rejects.folder / "precious").read_bytes() == b"precious"


def test_a_full_or_missing_folder_is_named(rejects: Rejects) -> None:
    rows = rejects.rows(b"a\n1\n")
    rejects.folder.rmdir()

    with pytest.raises(FolderTrouble, match="cannot write refused rows to"):
        rows.refuse([ListedRow(1, "x")])


def test_only_we_and_our_group_read_what_was_refused(rejects: Rejects) -> None:
    rejects.of(b"a\n1\n", 1)

    assert (rejects.folder / KEEP).stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("blank", [b" " * 70_000, b" " * 70_000 + b"1,2", b" ", b""])
def test_a_line_of_spaces_shifts_no_row(rejects: Rejects, blank: bytes) -> None:
    row = 2 if len(blank) > 65_536 else 1  # a line over the limit is a row, and refused as one

    assert rejects.of(b"a,b\n" + blank + b"\n3,4\n5,6\n", row) == b"a,b,reason\n3,4,why\n"
