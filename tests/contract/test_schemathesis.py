"""A property-based run against the started product: no 5xx, no status that is not documented."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.desk import Desk
from tests.unit.gateway.started import Started

BUDGET_S = 40
LIVE_BUDGET_S = 20
PRICES = "^/reference-prices"  # answer 503 where no pricing-service is
LIVE = f"^/(reports|feed|quarantine|reconciliations)|{PRICES}"
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


def run(url: str, password: str, folder: Path, *options: str, budget_s: int) -> str:
    """What a run said, which found nothing."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/v1/openapi.json",
        "--auth", f"admin:{password}", "--checks", ",".join(CHECKS), "--max-examples", "12",
        "--max-time", str(budget_s), "--continue-on-failure", "--seed", "1",
        "--request-timeout", "20", "--no-color", *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=budget_s + 50, check=False, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_whatever_is_sent_is_answered_as_documented(own_desk: Desk, tmp_path: Path) -> None:
    options = ("--exclude-path-regex", PRICES)

    said = run(own_desk.url, own_desk.admin_password, tmp_path, *options, budget_s=BUDGET_S)

    assert "Tested: 20" in said
    assert "Traceback" not in (own_desk.data / "logs" / "gateway.log").read_text()


@pytest.mark.slow
def test_so_is_what_is_sent_to_the_live_desk_with_every_owner_there(tmp_path: Path) -> None:
    options = ("--include-path-regex", LIVE)
    password = secrets.token_urlsafe(18)

    with Started(tmp_path, admin_password=password) as started:
        said = run(started.url, password, tmp_path, *options, budget_s=LIVE_BUDGET_S)

    assert "Tested: 11" in said
