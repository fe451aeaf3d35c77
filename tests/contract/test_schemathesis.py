"""A property-based run against the started product: no 5xx, no status that is not documented."""

import json
import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.desk import Desk
from tests.unit.gateway.started import Started

Answers = dict[str, Counter[int]]

BUDGET_S = 60
LIVE_BUDGET_S = 45
LEAST_REQUESTS = 100
HOOKS = str(Path(__file__).with_name("schemathesis_hooks.py"))
PRICES = "^/reference-prices"  # answer 503 where no pricing-service is
METERS = "^/(flow-files|meter-)"  # likewise
CASH = "^/(companies|cash)"  # likewise
# Guessing at the own password locks the run out, as it should: all else would answer 429 from then on.
PASSWORD = "^/me/password"
LIVE = f"^/(reports|feed|quarantine|reconciliations)|{PRICES}|{METERS}|{CASH}"
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


def run(url: str, password: str, folder: Path, *options: str, budget_s: int) -> tuple[str, Answers]:
    """What a run said, which found nothing, and the statuses of each operation."""
    asked = folder / "asked.har"
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{url}/v1/openapi.json",
        "--auth", f"admin:{password}", "--checks", ",".join(CHECKS), "--max-examples", "12",
        "--max-time", str(budget_s), "--continue-on-failure", "--seed", "1",
        "--request-timeout", "20", "--no-color", "--report", "har",
        "--report-har-path", str(asked), *options,
    ]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": HOOKS}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=budget_s + 50,
        check=False,
        encoding="utf-8",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout, answers_in(json.loads(asked.read_text()))


def answers_in(recorded: dict[str, Any]) -> Answers:
    """Statuses by method and first word of the path."""
    found: Answers = {}
    for entry in recorded["log"]["entries"]:
        path = urlsplit(entry["request"]["url"]).path.removeprefix("/v1/")
        operation = f"{entry['request']['method']} {path.split('/')[0]}"
        found.setdefault(operation, Counter())[entry["response"]["status"]] += 1
    return found


def assert_every_operation_tested(said: str) -> None:
    selected, tested = (re.findall(rf"{word}: (\d+)", said) for word in ("Selected", "Tested"))
    assert len(selected) == 1, said
    assert selected == tested, said


def assert_tested(answers: Answers, *good: str) -> None:
    """That the run got past the door: nothing was throttled or unknown, and these were done at least once."""
    total = sum(answers.values(), Counter[int]())
    assert total.total() >= LEAST_REQUESTS, answers
    assert total[429] == 0, answers
    assert {operation for operation, statuses in answers.items() if statuses[401]} <= {
        "GET oauth",
        "POST oauth",
    }, answers
    done = {name for name, statuses in answers.items() if any(200 <= status < 300 for status in statuses)}
    assert set(good) <= done, answers


@pytest.mark.slow
def test_whatever_is_sent_is_answered_as_documented(own_desk: Desk, tmp_path: Path) -> None:
    options = ("--exclude-path-regex", f"{PRICES}|{PASSWORD}|{METERS}|{CASH}")

    said, answers = run(own_desk.url, own_desk.admin_password, tmp_path, *options, budget_s=BUDGET_S)

    assert_every_operation_tested(said)
    assert_tested(answers, "GET trades", "POST trades", "GET users", "POST users", "GET reports", "GET me")
    assert "Traceback" not in (own_desk.data / "logs" / "gateway.log").read_text()


@pytest.mark.slow
def test_so_is_what_is_sent_to_the_live_desk_with_every_owner_there(tmp_path: Path) -> None:
    options = ("--include-path-regex", LIVE)
    password = secrets.token_urlsafe(18)

    with Started(tmp_path, admin_password=password) as started:
        said, answers = run(started.url, password, tmp_path, *options, budget_s=LIVE_BUDGET_S)

    assert_every_operation_tested(said)
    assert_tested(
        answers, "GET reports", "GET feed", "GET quarantine", "GET reference-prices", "GET meter-readings",
        "GET cash",
    )  # fmt: skip
