"""``manage.py import_flow_files``, as people type it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from meter_service.models import FlowFile, Reading

from tests.integration.meter_service.test_importing import archive
from tests.support.nem13 import content, reading

ROOT = Path(__file__).parents[3]
GOOD, BAD = content(reading()), content(reading(value="x"))


def run(*arguments: str) -> tuple[int, list[str]]:
    """Exit status and lines."""
    said = io.StringIO()
    try:
        call_command("import_flow_files", *arguments, stdout=said)
    except SystemExit as end:
        return int(end.code or 0), said.getvalue().splitlines()
    return 0, said.getvalue().splitlines()


@pytest.fixture
def folder(tmp_path: Path, store: str) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    (made / "good.csv").write_bytes(GOOD)
    return made


def test_all_in_is_0_with_a_line_a_file_and_a_summary(folder: Path) -> None:
    status, lines = run(str(folder / "good.csv"))

    assert status == 0
    assert lines == [
        "good.csv: imported: 1 records = 1 stored + 0 duplicates + 0 superseded on arrival", "1 imported",
    ]  # fmt: skip


def test_a_folder_is_imported_and_what_is_no_flow_file_is_left_alone(folder: Path) -> None:
    (folder / "notes.pdf").write_bytes(b"x")
    (folder / "dir.csv").mkdir()
    (folder / "link.csv").symlink_to(folder / "good.csv")
    (folder / "more.zip").write_bytes(archive({"x/more.csv": content(reading(serial="M2"))}))

    status, lines = run(str(folder))

    assert status == 0
    assert lines[-1] == "3 left alone, 2 imported"
    assert "more.zip/x/more.csv: imported" in "\n".join(lines)


def test_a_rejected_or_missing_one_is_named_and_is_1_and_the_others_go_in(folder: Path) -> None:
    (folder / "bad.csv").write_bytes(BAD)

    status, lines = run(str(folder / "bad.csv"), str(folder / "absent.csv"), str(folder / "good.csv"))

    assert status == 1
    assert "  line 2: 250 CurrentRegisterRead: 'x'; a plain decimal number such as 1234.5" in lines
    assert any("absent.csv" in line for line in lines)
    assert lines[-1] == "2 rejected, 1 imported"
    assert Reading.objects.count() == 1


def test_a_dry_run_stores_nothing(folder: Path) -> None:
    assert run("--dry-run", str(folder / "good.csv")) == (0, ["good.csv: valid: 1 records", "1 valid"])
    assert FlowFile.objects.count() == 0


def test_json_is_an_object_a_file(folder: Path) -> None:
    _, lines = run("--json", str(folder / "good.csv"))

    (told,) = [json.loads(line) for line in lines]
    assert (told["result"], told["records"], told["stored"], told["error_count"]) == ("imported", 1, 1, 0)


def _environment(**more: str) -> dict[str, Any]:
    return {"PATH": os.environ["PATH"], **more}


@pytest.mark.slow
def test_it_works_on_its_own_from_standard_input_on_a_new_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/data/stores/meter.db"

    done = subprocess.run(
        [sys.executable, ROOT / "meter-service/manage.py", "import_flow_files", "-"],
        input=GOOD, capture_output=True, check=False, timeout=60,
        env=_environment(WATTBOOK_METER_STORE_URL=url),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"standard input: imported: 1 records")


@pytest.mark.slow
def test_a_store_that_cannot_be_opened_is_2(tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("")

    done = subprocess.run(
        [sys.executable, ROOT / "meter-service/manage.py", "import_flow_files", "-"],
        input=GOOD, capture_output=True, check=False, timeout=60,
        env=_environment(WATTBOOK_METER_STORE_URL=f"sqlite:///{tmp_path}/in-the-way/meter.db"),
    )  # fmt: skip

    assert done.returncode == 2
    assert b"the store meter cannot be used now" in done.stderr
