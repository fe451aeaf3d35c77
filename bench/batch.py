"""A batch of NDJSON over REST, until it is answered and until the report shows it."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench import bare
from bench.context import Context, Row, at_least, basic, plain
from bench.data import fields, ndjson_file
from tests.support.desk import Desk
from tests.support.engines import is_production
from tests.support.waiting import wait_until

GOAL_PER_S = 40_000


def run(context: Context) -> list[Row]:
    trades = context.sizes.batch_trades
    file = ndjson_file(context.folder / "batch.ndjson", trades=trades)
    last = fields(trades - 1)
    expected = sum((row[6], row[4]) == (last[6], last[4]) for row in map(fields, range(trades)))
    with context.product() as desk, desk.client() as client:
        client.http.get("/v1/me")  # the password is verified and remembered by now
        began = time.perf_counter()
        answer = post(desk, file)
        answered_s = time.perf_counter() - began
        wait_until(
            lambda: client.report(last[6], last[4])["total"]["trades"] == expected,
            timeout_s=120,
            what="the report shows the batch",
            most_s=0.02,
        )
        shown_s = time.perf_counter() - began
        bare_per_s = bare.copied_per_s(desk.store_url("trade")) if is_production() else None
    if answer["added"] != trades:
        raise RuntimeError(f"not all were added: {answer}")
    beside = []
    if bare_per_s is not None:
        share = f"{bare_per_s:,.0f} /s; Wattbook books {trades / answered_s / bare_per_s:.0%} of that"
        beside = [Row("  bare COPY of the same rows into the same indices", share)]
    return [
        at_least(
            f"NDJSON batch of {trades:,}, one client, until answered", trades / answered_s, GOAL_PER_S, "/s"
        ),
        plain("  until the report shows the last of them", trades / shown_s, "/s"),
        plain("  from the answer to the report", (shown_s - answered_s) * 1000, "ms"),
        *beside,
    ]


def post(desk: Desk, file: Path) -> dict[str, int]:
    """Send the file as a careful client would: as a stream, asking for refused rows only."""
    address = urlsplit(desk.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=300)
    headers = {
        "Authorization": basic(desk),
        "Content-Type": "application/x-ndjson",
        "Content-Length": str(file.stat().st_size),
    }
    with file.open("rb") as body:
        connection.request("POST", "/v1/trades/batch?results=refused", body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
    connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text[:500]!r}")
    return dict(json.loads(text))
