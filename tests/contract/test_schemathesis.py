"""A property-based run against the started product: no 5xx, no status that is not documented."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import Desk

BUDGET_S = 40
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
)


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """A product of its own: the run adds and changes users."""
    desk = Desk(tmp_path).start()
    try:
        yield desk
        assert desk.stop() == 0
    finally:
        desk.kill_all()


@pytest.mark.slow
def test_whatever_is_sent_is_answered_as_documented(own_desk: Desk, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{own_desk.url}/v1/openapi.json",
        "--auth", f"admin:{own_desk.admin_password}", "--checks", ",".join(CHECKS),
        "--max-examples", "12", "--max-time", str(BUDGET_S), "--continue-on-failure", "--seed", "1",
        "--request-timeout", "20", "--no-color",
    ]  # fmt: skip

    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=BUDGET_S + 50, check=False
    )

    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert "Tested: 12" in run.stdout
    assert "Traceback" not in (own_desk.data / "logs" / "gateway.log").read_text()
