"""The benchmarks run; what they measure is not judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "RESULTS.md"


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_every_benchmark_runs_and_a_quick_run_keeps_no_figures(tmp_path: Path) -> None:
    before = RESULTS.read_bytes() if RESULTS.exists() else None

    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--folder", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert (RESULTS.read_bytes() if RESULTS.exists() else None) == before
    assert not list(tmp_path.iterdir())
