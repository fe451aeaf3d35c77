"""Made-up flow files: the same for the same seed, and in order but where a case says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from sandbox.flow_files.app import main
from sandbox.flow_files.cases import CASES

from tests.support.nem13 import read_plainly


def _made(folder: Path, *arguments: str) -> dict[str, bytes]:
    assert main(["--meter-points", "60", "--days", "40", "--out", str(folder), *arguments]) == 0
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_makes_the_same_bytes_and_another_others(tmp_path: Path) -> None:
    first, same = _made(tmp_path / "a", "--case", "all"), _made(tmp_path / "b", "--case", "all")

    assert first == same
    assert len(first) == 40 + len(CASES)
    assert list(_made(tmp_path / "c", "--seed", "2").values()) != list(_made(tmp_path / "d").values())


def test_there_are_exchanges_estimates_and_corrections_among_them(tmp_path: Path) -> None:
    files = _made(tmp_path / "a", "--meter-points", "300", "--days", "60")
    rows = [line.split(b",") for content in files.values() for line in content.splitlines()]
    readings = [row for row in rows if row[0] == b"250"]
    keys = [(row[1], row[6], row[4], row[14]) for row in readings]

    assert {row[15] for row in readings} == {b"A", b"E64", b"S62"}
    assert len(keys) > len(set(keys)) > 600  # what was corrected is there twice
    assert sum(row[0] == b"550" for row in rows) >= 2
    found = read_plainly(files.values())
    assert found.meters > found.nmis


@pytest.mark.parametrize(
    "arguments", [["--days", "-1"], ["--every-days", "0"], ["--case", "unheard-of"], ["--seed", "1000000"]]
)
def test_numbers_that_make_no_sense_are_refused(tmp_path: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--out", str(tmp_path / "x")])

    assert ended.value.code == 2
    assert not (tmp_path / "x").exists()
