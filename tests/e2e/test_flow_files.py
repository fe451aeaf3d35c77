"""Flow files of meter readings from end to end: uploaded, dropped, found everywhere, withdrawn."""

from __future__ import annotations

import json

import pytest

from tests.support.desk import Desk
from tests.support.flow_files import Read, flow_file
from tests.support.trades import unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Flow file of meter readings")


def new_nmi() -> str:
    """Of a meter point that no other test knows."""
    return f"N{unique('')[-9:].upper():0>9}".translate(str.maketrans("_-", "00"))


def test_an_uploaded_reading_is_found_by_api_and_terminal_until_it_is_withdrawn(desk: Desk) -> None:
    nmi = new_nmi()
    body = flow_file(Read(nmi=nmi, value="0056311.0"))
    with desk.user("desk") as client, desk.user("support") as support:
        sent = client.http.post("/v1/flow-files", files={"file": ("a.csv", body)})
        refused = support.http.post("/v1/flow-files", files={"file": ("a.csv", body)})
        (reading,) = support.http.get("/v1/meter-readings", params={"nmi": nmi}).json()
    found = json.loads(desk.run("meters", "find", nmi, "--json").stdout)
    number = str(sent.json()["files"][0]["id"])

    withdrawn = desk.run("meters", "withdraw", number, "--reason", "wrong month", "--yes")

    assert (sent.status_code, refused.status_code) == (201, 403)
    assert (reading["value"], reading["read_at"]) == ("0056311.0", "2026-09-01T10:03:33+10:00")
    assert found == [reading]
    assert withdrawn.returncode == 0, withdrawn.stderr
    assert json.loads(desk.run("meters", "find", nmi, "--json").stdout) == []


def test_a_dropped_file_is_imported_and_a_bad_one_says_why(desk: Desk) -> None:
    nmi, good, bad = new_nmi(), unique("NEM13#good"), unique("NEM13#bad")
    desk.drop(f"{good}.csv", flow_file(Read(nmi=nmi)))
    desk.drop(f"{bad}.csv", flow_file(Read(nmi=nmi, value="8. 77")))

    errors = desk.rejected / f"{bad}.csv.errors.txt"
    wait_until(errors.exists, timeout_s=30, what="the bad file is rejected")
    desk.wait_archived(f"{good}.csv")

    assert "line 2: 250 CurrentRegisterRead: '8. 77'" in errors.read_text()
    with desk.client() as admin:
        (reading,) = admin.http.get("/v1/meter-readings", params={"nmi": nmi}).json()
        file = admin.http.get(f"/v1/flow-files/{reading['flow_file_id']}").json()
    assert (file["name"], file["way"], file["received_from"]) == (f"{good}.csv", "folder", "ingest-service")
