"""Whether a file is whole, and moving it: on a real disk."""

from __future__ import annotations

import datetime
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ingest_service.clients import DropFolder, SourceFile
from ingest_service.clients.source import file_system_of
from ingest_service.domain import FolderTrouble, Kind, NotYet, Writer

from tests.support.disks import read_only

NAME = "epex_trades_20230228.csv"
ROW = b"t_1,120,12,sell,2023-02-28,14,trader_1,2023-02-28T11:12:35Z\n"

needs_leases = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="no leases on this system")


@pytest.fixture
def folder(tmp_path: Path) -> DropFolder:
    made = DropFolder(tmp_path / "inbox")
    made.prepare()
    return made


@pytest.fixture
def source(folder: DropFolder) -> Iterator[SourceFile]:
    (folder.inbox / NAME).write_bytes(ROW)
    with folder.open(NAME) as opened:
        yield opened


def never(_name: str) -> bool:
    return False


@needs_leases
def test_a_file_that_somebody_writes_is_told_from_one_that_nobody_does(
    folder: DropFolder, source: SourceFile
) -> None:
    assert source.writer() is Writer.NONE
    with (folder.inbox / NAME).open("ab"):
        assert source.writer() is Writer.OPEN
    assert source.writer() is Writer.NONE


@needs_leases
def test_a_writer_in_another_process_counts_too(folder: DropFolder, source: SourceFile) -> None:
    script = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(folder.inbox / NAME)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        writer.stdout.readline()

        assert source.writer() is Writer.OPEN

        writer.stdin.close()
        writer.wait()
    assert source.writer() is Writer.NONE


def test_readers_do_not_count(folder: DropFolder, source: SourceFile) -> None:
    with (folder.inbox / NAME).open("rb"):
        assert source.writer() is not Writer.OPEN


def test_where_no_lease_is_given_nothing_is_claimed(
    source: SourceFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(fcntl, "F_SETLEASE", raising=False)

    assert source.writer() is Writer.UNKNOWN


@needs_leases
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_on_a_network_file_system_nothing_is_known_of_writers(
    folder: DropFolder, source: SourceFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    """Neither where the lease is refused, as with EAGAIN by NFS, nor where FUSE grants it without asking."""
    device = os.stat(folder.inbox).st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 0:99 / /elsewhere rw shared:1 - ext4 /dev/x rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / /inbox rw shared:1 - {kind} server:/share rw\n"
    )
    monkeypatch.setattr("ingest_service.clients.source._MOUNTS", str(mounts))

    assert file_system_of(device, mounts=str(mounts)) == kind
    assert source.writer() is Writer.UNKNOWN
    with (folder.inbox / NAME).open("ab"):
        assert source.writer() is Writer.UNKNOWN


@needs_leases
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play two users")
def test_of_another_users_file_nothing_is_known(folder: DropFolder) -> None:
    """As the service meets it beside an SFTP account: root's right to leases is not asked for."""
    path = folder.inbox / NAME
    path.write_bytes(ROW)
    os.chown(path, 1234, 1234)
    script = (
        "import os, sys; from ingest_service.clients import SourceFile\n"
        "source = SourceFile(sys.argv[1], os.open(sys.argv[1], os.O_RDONLY))\n"
        "os.setgroups([]); os.setgid(4321); os.setuid(4321)\n"
        "print(source.writer().name)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )

    assert done.stdout.strip() == "UNKNOWN", done.stderr


def test_the_digest_has_the_delivery_days_of_any_column_order(folder: DropFolder) -> None:
    content = b'delivery_day,x,delivery_day\n2023-02-27,2023-02-26T10:00:00Z,"2023-02-28"\r\n,,2023-13-01\n'
    (folder.inbox / NAME).write_bytes(content)

    with folder.open(NAME) as source:
        found = source.digest(keep_going=lambda: True)

    assert found.delivery_days == {datetime.date(2023, 2, 27), datetime.date(2023, 2, 28)}


def test_a_digest_is_broken_off_when_the_service_stops(source: SourceFile) -> None:
    with pytest.raises(NotYet, match="stopping"):
        source.digest(keep_going=lambda: False)


def test_a_link_is_never_followed(folder: DropFolder, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(ROW)
    (folder.inbox / NAME).symlink_to(tmp_path / "outside")

    with pytest.raises(FolderTrouble), folder.open(NAME):
        pytest.fail("it was opened")


def test_a_pipe_of_the_name_is_not_waited_for(folder: DropFolder) -> None:
    os.mkfifo(folder.inbox / NAME)

    with pytest.raises(NotYet), folder.open(NAME):
        pytest.fail("it was opened")


def test_a_file_that_is_gone_is_not_there_yet(folder: DropFolder) -> None:
    with pytest.raises(NotYet), folder.open(NAME):
        pytest.fail("it was opened")


def test_entries_come_by_name_with_their_kinds(folder: DropFolder) -> None:
    (folder.inbox / "b").symlink_to("nowhere")
    (folder.inbox / "a").write_bytes(b"")
    os.mkfifo(folder.inbox / "c")
    (folder.inbox / "meters" / "d").write_bytes(b"")

    kinds = {entry.name: entry.kind for entry in folder.entries()}

    assert list(kinds.items()) == [
        ("a", Kind.FILE),
        ("archive", Kind.FOLDER),
        ("b", Kind.LINK),
        ("c", Kind.OTHER),
        ("meters", Kind.FOLDER),
        ("meters/d", Kind.FILE),
        ("rejected", Kind.FOLDER),
    ]


def test_an_archived_file_is_the_same_file(folder: DropFolder, source: SourceFile) -> None:
    folder.archive(source, "kept.csv", as_read=source.fingerprint())

    assert not (folder.inbox / NAME).exists()
    assert (folder.inbox / "archive/kept.csv").read_bytes() == ROW


def test_a_file_that_grew_stays_in_the_inbox(folder: DropFolder, source: SourceFile) -> None:
    as_read = source.fingerprint()
    with (folder.inbox / NAME).open("ab") as writer:
        writer.write(ROW)

    with pytest.raises(NotYet):
        folder.archive(source, "kept.csv", as_read=as_read)

    assert (folder.inbox / NAME).read_bytes() == ROW * 2
    assert not (folder.inbox / "archive/kept.csv").exists()


def test_a_file_that_was_replaced_stays_in_the_inbox(folder: DropFolder, source: SourceFile) -> None:
    as_read = source.fingerprint()
    (folder.inbox / "new.part").write_bytes(b"new")
    (folder.inbox / "new.part").rename(folder.inbox / NAME)

    with pytest.raises(NotYet):
        folder.archive(source, "kept.csv", as_read=as_read)

    assert (folder.inbox / NAME).read_bytes() == b"new"


@needs_leases
def test_a_file_that_is_opened_at_the_last_moment_is_put_back(folder: DropFolder, source: SourceFile) -> None:
    with (folder.inbox / NAME).open("ab"), pytest.raises(NotYet, match="while it was moved"):
        folder.archive(source, "kept.csv", as_read=source.fingerprint())

    assert (folder.inbox / NAME).read_bytes() == ROW
    assert not (folder.inbox / "archive/kept.csv").exists()


def test_what_is_put_back_replaces_nothing(folder: DropFolder) -> None:
    (folder.inbox / NAME).write_bytes(b"new")
    (folder.inbox / "archive/kept.csv").write_bytes(b"old")

    back_as = folder.put_back("kept.csv", NAME)

    assert back_as == "epex_trades_20230228-again1.csv"
    assert (folder.inbox / NAME).read_bytes() == b"new"
    assert (folder.inbox / back_as).read_bytes() == b"old"


def test_a_name_that_is_taken_anywhere_is_not_free(folder: DropFolder) -> None:
    (folder.inbox / "archive" / NAME).write_bytes(b"")
    (folder.inbox / "rejected/epex_trades_20230228-2.csv").symlink_to("nowhere")

    def promised(name: str) -> bool:
        return name == "epex_trades_20230228-3.csv"

    assert folder.free_name(NAME, is_reserved=promised) == "epex_trades_20230228-4.csv"
    assert folder.free_name("epex_trades_1.csv", is_reserved=never) == "epex_trades_1.csv"


@pytest.mark.parametrize("which", ["archive", "rejected"])
def test_a_folder_that_is_no_folder_is_named(folder: DropFolder, which: str) -> None:
    (folder.inbox / which).rmdir()
    (folder.inbox / which).write_bytes(b"")

    with pytest.raises(FolderTrouble, match=f"{which}: it is not a folder"):
        folder.prepare()


@pytest.mark.parametrize("which", ["archive", "rejected"])
def test_a_folder_that_is_a_link_is_named_and_nothing_goes_through_it(
    folder: DropFolder, source: SourceFile, tmp_path: Path, which: str
) -> None:
    """Also where it is put there between one step and the next."""
    (folder.inbox / which).rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (folder.inbox / which).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FolderTrouble, match=f"{which}: it is not a folder"):
        folder.prepare()
    with pytest.raises(OSError, match="it is not a folder"):
        folder.free_name(NAME, is_reserved=never)
    if which == "archive":
        with pytest.raises(FolderTrouble, match="it is not a folder"):
            folder.archive(source, "kept.csv", as_read=source.fingerprint())
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755
    assert (folder.inbox / NAME).read_bytes() == ROW


def test_nobody_else_sees_what_is_kept_and_no_group_loses_what_it_was_given(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    (inbox / "archive").mkdir(parents=True)
    (inbox / "archive").chmod(0o775)

    DropFolder(inbox).prepare()

    assert (inbox / "archive").stat().st_mode & 0o777 == 0o770
    assert (inbox / "rejected").stat().st_mode & 0o007 == 0


def test_a_folder_that_nobody_may_write_to_is_named(folder: DropFolder) -> None:
    with (
        read_only(folder.inbox / "rejected"),
        pytest.raises(FolderTrouble, match=r"cannot write to .*rejected"),
    ):
        folder.prepare()


def test_an_inbox_is_made_but_not_what_it_should_lie_in(tmp_path: Path) -> None:
    DropFolder(tmp_path / "inbox").prepare()
    with pytest.raises(FolderTrouble, match="cannot write to"):
        DropFolder(tmp_path / "disk" / "inbox").prepare()

    assert (tmp_path / "inbox/archive").is_dir()
