"""A desk whose stores go back to a backup, by the commands of docs/operations.md, word for word."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.client import Client
from tests.support.desk import ROOT, Desk
from tests.support.trades import as_csv, trade, unique
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.embedded,
    pytest.mark.skipif(
        shutil.which("sqlite3") is None and not os.environ.get("CI"),
        reason="the handbook's sqlite3 is missing",
    ),
]
OPERATIONS = ROOT / "docs" / "operations.md"
NAME = "epex_trades_20230228.csv"
DAY = "2023-02-28"


def commands(title: str) -> list[str]:
    """Those that stand under a title of the handbook, a line each."""
    (part,) = re.findall(rf"\n\*\*{title}\*?\*?(.*?)(?=\n\*\*|\n## )", OPERATIONS.read_text(), re.DOTALL)
    return re.findall(r"^    (\S.*)$", part, re.MULTILINE)


def run(title: str, folder: Path) -> str:
    """Run them in a folder that looks like a checkout with its data; all that they said."""
    (folder / ".venv").exists() or (folder / ".venv").symlink_to(ROOT / ".venv")
    found = commands(title)
    assert found
    said = ""
    for each in found:
        done = subprocess.run(
            ["/bin/sh", "-c", each], cwd=folder, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, f"{each}\n{done.stdout}{done.stderr}"
        said += done.stdout
    return said


def tokens(desk: Desk, **form: str) -> httpx.Response:
    form = {"client_id": "wattbook", **form}
    return httpx.post(f"{desk.url}/v1/oauth/token", data=form, trust_env=False)


def ids(client: Client, trader: str) -> list[str]:
    return sorted(each["id"] for each in client.trades(trader_id=trader))


def test_a_desk_goes_back_to_a_backup_by_the_steps_of_the_handbook(
    make_desk: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = make_desk().start()
    trader = unique("trader")
    before, lost, filed, after = (trade(id=unique("t"), trader_id=trader) for _ in range(4))

    def report_counts(client: Client) -> int:
        return int(client.report(trader, DAY)["total"]["trades"])

    with desk.client() as admin:
        admin.added(before)
        run("One machine, back up", desk.folder)
        signed_in = tokens(desk, grant_type="password", username="admin", password=desk.admin_password).json()
        admin.added(lost)
        (desk.inbox / NAME).write_text(as_csv([filed]))
        wait_until((desk.archive / NAME).exists, timeout_s=30, what="the file is imported")
        wait_until(lambda: report_counts(admin) == 3, timeout_s=20, what="all are reported")
    assert desk.stop() == 0

    said = run("One machine, restore", desk.folder)
    assert NAME in said
    assert "`user added`" in said
    desk.start()

    with desk.client() as admin:
        assert ids(admin, trader) == [before["id"]]
        stale = tokens(desk, grant_type="refresh_token", refresh_token=signed_in["refresh_token"])
        assert stale.status_code == 400
        bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
        assert httpx.get(f"{desk.url}/v1/trades", headers=bearer, trust_env=False).status_code == 401
        (desk.archive / NAME).rename(desk.inbox / NAME)
        wait_until(lambda: filed["id"] in ids(admin, trader), timeout_s=30, what="the file is imported again")
        admin.added(lost)  # its client sends it once more
        admin.added(after)
        whole: list[Any] = sorted(each["id"] for each in (before, lost, filed, after))
        assert ids(admin, trader) == whole
        wait_until(lambda: report_counts(admin) == 4, timeout_s=20, what="the report equals the book")
