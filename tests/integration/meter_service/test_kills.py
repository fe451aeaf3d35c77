"""``kill -9`` at each step of an import and of a withdrawal: all of it counts afterwards, or nothing does."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from meter_service.models import FlowFile, Reading
from meter_service.usecases import catch_up, withdraw

from tests.support import meters
from tests.support.meters import CLOCK, one, orphans, state
from tests.support.nem13 import HEADER, content, reading

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
FIRST = content(reading(), "550,N,WO1,N,", reading(at="20040207100333", previous_at="20040107100333"))
CORRECTION = content(
    reading(value="00087.5", updated="20040109090000"), header=HEADER.replace("0108", "0109")
)
CHILD = """
import os, signal, sys
from pkgutil import resolve_name
from tests.support import meters

url, place, what, path = sys.argv[1:]
owner, _, name = place.rpartition("." if "." in place.partition(":")[2] else ":")
setattr(resolve_name(owner), name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
meters.use(url)
content = open(path, "rb").read()
if what == "import":
    meters.one(content)
else:
    meters.withdrawn(what)
"""


def killed_at(place: str, what: str, url: str, folder: Path) -> None:
    """Let another process import the correction, or withdraw a file, and be killed at a step."""
    path = folder / "correction.csv"
    path.write_bytes(CORRECTION)

    done = subprocess.run(
        [sys.executable, "-c", CHILD, url, place, what, path],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("meter_service.store.files:receive", False),
        ("meter_service.store.files:FlowFilePiece.objects.create", False),
        ("meter_service.usecases.importing:import_received", True),
        ("meter_service.store.files:write_header", True),
        ("meter_service.store.registers:Registers.ids", True),
        ("meter_service.store.readings:write", True),
        ("meter_service.store.files:write_imported", True),
    ],
)
def test_an_import_killed_at_any_step_is_caught_up_whole(
    store: str, tmp_path: Path, place: str, kept: bool
) -> None:
    one(FIRST)
    before = state()
    meters.close()

    killed_at(place, "import", store, tmp_path)

    assert state() == before
    assert [file.state for file in FlowFile.objects.order_by("id")] == ["imported"] + ["received"] * kept
    caught_up = [str(outcome.result) for outcome in catch_up(clock=CLOCK)]
    assert caught_up == ["imported"] * kept
    one(CORRECTION)
    assert Reading.objects.get(is_current=True, line=2).value_text == "00087.5"
    assert (Reading.objects.count(), orphans()) == (3, 0)


@pytest.mark.parametrize(
    "place",
    [
        "meter_service.usecases.withdrawing:take_away",
        "meter_service.store.withdrawal:_chosen_anew",
        "meter_service.store.files:write_withdrawn",
    ],
)
def test_a_withdrawal_killed_at_any_step_has_not_happened(store: str, tmp_path: Path, place: str) -> None:
    one(FIRST)
    correction = one(CORRECTION)
    before = state()
    meters.close()

    killed_at(place, correction.sha256, store, tmp_path)

    assert state() == before
    assert correction.file_id is not None
    assert withdraw(correction.file_id, by="ann", reason="wrong", clock=CLOCK).become_current == 1
    assert (Reading.objects.count(), orphans()) == (2, 0)
