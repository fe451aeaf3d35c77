"""The commands of the live desk: performance, feed, quarantine, reconciliation, reference prices."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text
from wattbook_cli.api.performance import View
from wattbook_cli.api.performance import performance as reports
from wattbook_cli.api.tables import console, table

from tests.support.waiting import wait_until
from tests.unit.cli.conftest import Wattbook
from tests.unit.cli.fakes import REPORT, FakeGateway

PERFORMANCE = "GET /v1/reports/performance"
NOTHING = {
    "average_eur_per_mwh": None, "average_buy_eur_per_mwh": None, "average_sell_eur_per_mwh": None,
    "reference_eur_per_mwh": None, "reference_last_update": None, "reference_fetched": None,
    "delta_eur_per_mwh": None, "light": "grey", "grey_reason": "no trades", "edge_eur": None, "open_mwh": 0,
}  # fmt: skip
UPDATED = "2023-02-28T10:10:12.5Z"


def measured(average: float, reference: float | None, delta: float | None, light: str, **more: Any) -> Any:
    return {
        "average_eur_per_mwh": average, "average_buy_eur_per_mwh": None, "average_sell_eur_per_mwh": average,
        "reference_eur_per_mwh": reference, "delta_eur_per_mwh": delta, "light": light, "grey_reason": None,
        "reference_last_update": UPDATED, "reference_fetched": UPDATED, "edge_eur": 120.005,
        "open_mwh": -6.25, **more,
    }  # fmt: skip


@pytest.fixture
def performance(gateway: FakeGateway) -> dict[str, Any]:
    """A day with a green, a red, a level and a grey hour."""
    report: dict[str, Any] = json.loads(json.dumps(REPORT))
    report["hours"] = [{**hour, **NOTHING} for hour in report["hours"]]
    report["hours"][14] |= measured(10.2, 9.8, 0.4, "green", trades=2)
    bought = {"average_buy_eur_per_mwh": 5.7, "open_mwh": 4.5}
    report["hours"][15] |= measured(5.7, 8.9, -3.2, "red", trades=1) | bought
    report["hours"][16] |= measured(1234.5, 1234.5, 0, "red", trades=1)
    report["hours"][17] |= measured(7, None, None, "grey", grey_reason="no reference price", trades=1)
    report["total"] |= measured(8.61, 9.05, -0.44, "red")
    gateway.answers[PERFORMANCE] = report
    gateway.tags[PERFORMANCE] = '"v1"'
    return report


def rows_of(out: str) -> dict[str, str]:
    """What stands in the row that begins with a word."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.split()}


def test_the_default_columns_are_the_desk_s_own_four(wattbook: Wattbook, performance: dict[str, Any]) -> None:
    done = wattbook("report", "trader_1", "--live", "--day", "2023-02-28")

    rows = rows_of(done.out)
    assert done.code == 0, done
    assert rows["Delivery"] == "EUR/MWh EUR/MWh How are we doing so far"
    assert rows["14–15"] == "10.20 9.80 ▲ +0.40 higher"
    assert rows["15–16"] == "5.70 8.90 ▼ -3.20 lower, bought below it"
    assert rows["16–17"] == "1,234.50 1,234.50 ▼ 0.00 equal"
    assert rows["17–18"] == "7.00 – ● no reference price"
    assert rows["18–19"] == "– – ● no trades"
    assert rows["Total"] == "8.61 9.05 ▼ -0.44 lower"
    assert max(map(len, done.out.splitlines())) <= 80
    assert "\x1b" not in done.out


def test_all_columns_are_there_when_wide(wattbook: Wattbook, performance: dict[str, Any]) -> None:
    rows = rows_of(wattbook("report", "trader_1", "--live", "--wide").out)

    figures = rows["14–15"].split()
    assert figures[:7] == ["2", "0.0", "12.0", "–", "10.20", "10.20", "9.80"]
    assert figures[8:] == ["d", "▲", "+0.40", "higher", "+120.00", "-6.25", "+1,354.50"]
    assert rows["18–19"] == "0 0.0 0.0 – – – – – ● no trades – 0.0 0.00"


def test_colour_is_the_lights_alone(performance: dict[str, Any]) -> None:
    shown = Console(width=200, force_terminal=True, color_system="standard")
    view = View(wide=True, now=datetime(2023, 2, 28, 12, tzinfo=UTC), most_columns=200)

    coloured = [
        each.text.strip()
        for each in shown.render(reports(performance, view))
        if each.style is not None and each.style.color is not None
    ]

    assert [each[0] for each in coloured if each] == ["▲", "▼", "▼", "▼"]


def test_a_live_report_says_what_pnl_leaves_out_and_what_edge_is(
    wattbook: Wattbook, performance: dict[str, Any]
) -> None:
    out = wattbook("report", "trader_1", "--live", "--day", "2023-02-28").out

    assert "PnL +1,234.50 EUR: cash so far, open position -6.25 MWh not valued." in out
    assert "Edge = PnL + open position x reference" in out


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_live_report_for_pipes_is_the_api_s_own(
    wattbook: Wattbook, gateway: FakeGateway, performance: dict[str, Any], form: str
) -> None:
    out = wattbook("report", "trader_1", "--live", "--day", "2023-02-28", "--area", "GB", form).out

    assert out == "Hour,Light\n00,grey\n" if form == "--csv" else json.loads(out) == performance
    assert gateway.asked[-1][2] == "trader_id=trader_1&delivery_day=2023-02-28&area=GB"


def test_wide_without_live_is_said_in_one_line(wattbook: Wattbook) -> None:
    assert wattbook("report", "trader_1", "--wide").err == "wattbook: --wide is for --live\n"


class Terminal:
    """The command on a terminal of its own."""

    def __init__(
        self, gateway: FakeGateway, folder: Path, *arguments: str, columns: int = 100, lines: int = 40
    ) -> None:
        environment = {
            **os.environ, "WATTBOOK_URL": gateway.url, "WATTBOOK_USER": "admin", "WATTBOOK_PASSWORD": "right",
            "XDG_CONFIG_HOME": str(folder), "TERM": "xterm", "LINES": str(lines), "COLUMNS": str(columns),
        }  # fmt: skip
        self.shown = b""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:  # pragma: no cover - the command's process
            os.execve(sys.executable, [sys.executable, "-m", "wattbook_cli", *arguments], environment)
        os.set_blocking(self._terminal, False)

    def shows(self, words: str, *, timeout_s: float = 20.0) -> None:
        def there() -> bool:
            self._read()
            return words.encode() in self.shown

        wait_until(there, timeout_s=timeout_s, what=f"the terminal shows {words!r}")

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        os.kill(self.pid, signal.SIGINT)

        def ended() -> tuple[int, int] | None:
            self._read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            return (pid, status) if pid else None

        _, status = wait_until(ended, timeout_s=10, what="it has ended")
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> None:
        try:
            while chunk := os.read(self._terminal, 65536):
                self.shown += chunk
        except OSError:
            return


def test_a_terminal_is_refreshed_in_place_until_ctrl_c(
    gateway: FakeGateway, tmp_path: Path, performance: dict[str, Any]
) -> None:
    terminal = Terminal(gateway, tmp_path, "report", "trader_1", "--live")
    terminal.shows("+0.40 higher")
    wait_until(
        lambda: [path for _, path, _ in gateway.asked].count("/v1/reports/performance") >= 3,
        timeout_s=10, what="it has asked again",
    )  # fmt: skip

    performance["hours"][14] |= measured(8.8, 9.8, -1.0, "red", trades=3)
    gateway.tags[PERFORMANCE] = '"v2"'
    terminal.shows("-1.00 lower")
    gateway.answers[PERFORMANCE] = (503, "report-service restarts")
    terminal.shows("Not refreshed now: Wattbook cannot do that now: report-service restarts")
    gateway.answers[PERFORMANCE] = {**performance, "hours": [{**performance["hours"][14], "trades": 4}]}
    gateway.tags[PERFORMANCE] = '"v3"'

    assert terminal.interrupt() == 0
    assert b"Traceback" not in terminal.shown
    assert b"\x1b[32m" in terminal.shown


def test_a_small_window_leaves_out_whole_columns_and_quiet_hours_and_says_so(
    gateway: FakeGateway, tmp_path: Path, performance: dict[str, Any]
) -> None:
    arguments = ("report", "trader_1", "--live", "--wide")
    terminal = Terminal(gateway, tmp_path, *arguments, columns=110, lines=24)
    terminal.shows("Ctrl-C ends")

    code, shown = terminal.interrupt(), terminal.shown.decode()

    assert code == 0
    assert "Left out: Age, Average buy, Average sell" in shown
    assert "+1,354.50" in shown
    assert "hours without trades; a higher window shows all" in shown
    assert "17–18" in shown
    assert "00–01" not in shown


def test_a_terminal_that_is_refused_says_why_and_ends(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.answers[PERFORMANCE] = (403, "you see your own trades only")
    terminal = Terminal(gateway, tmp_path, "report", "trader_2", "--live")

    terminal.shows("not allowed: you see your own trades only")


FEED = {
    "listeners": [
        {
            "url": "ws://127.0.0.1:8095", "connected": True, "since": UPDATED, "last_frame": UPDATED,
            "frames": 1234, "connects": 2, "next_attempt": None, "trouble": None,
        },
        {
            "url": "wss://[red]x[/red]", "connected": False, "since": UPDATED, "last_frame": None,
            "frames": 0, "connects": 0, "next_attempt": UPDATED, "trouble": "refused",
        },
    ],
    "frames": 5678, "spool_depth": 1, "outbox_depth": 2, "quarantined": 3, "last_trade": UPDATED,
    "lag_us": 12_400, "prices": None, "prices_missing": "this desk has no pricing-service",
}  # fmt: skip
POLLER = {
    "leader": True, "minute_budget_left": 7, "hour_budget_left": 812, "cycle_start": UPDATED,
    "periods_tradable": 37, "periods_fresh": 36, "last_success": UPDATED, "trouble": None,
    "trouble_since": None,
}  # fmt: skip


def test_the_feed_says_how_each_listener_is(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["GET /v1/feed"] = FEED

    done = wattbook("feed")

    assert done.code == 1  # one listener is not connected
    assert "ws://127.0.0.1:8095 connected" in " ".join(done.out.split())
    assert "wss://[red]x[/red]: refused\n" in done.out
    assert "wss://[red]x[/red]" in done.out
    assert "12 ms after its execution" in done.out
    assert "5,678 frames kept: 1 to read, 2 to book, 3 quarantined" in done.out
    assert "No reference prices: this desk has no pricing-service" in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_a_feed_that_is_connected_ends_with_0_and_none_at_all_with_3(
    wattbook: Wattbook, gateway: FakeGateway
) -> None:
    gateway.answers["GET /v1/feed"] = {**FEED, "listeners": FEED["listeners"][:1], "prices": POLLER}  # type: ignore[index]
    connected = wattbook("feed")
    gateway.answers["GET /v1/feed"] = {
        **FEED, "listeners": [], "last_trade": None, "lag_us": None,
        "prices": {**POLLER, "trouble": "HTTP 503", "trouble_since": UPDATED},
    }  # fmt: skip
    none = wattbook("feed")

    assert (connected.code, none.code) == (0, 3)
    assert "36 of 37 hours fresh, requests left 7 this minute and 812 this hour" in connected.out
    assert "listens to no exchange" in none.out
    assert "HTTP 503" in none.out
    assert json.loads(wattbook("feed", "--json").out)["listeners"] == []


def item(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "received": UPDATED, "origin": "ws://127.0.0.1:8095",
        "reason": "price: 'x' is no number", "state": "open", "decided_by": None, "decided": None,
        "trade_id": None, **changes,
    }  # fmt: skip


def test_what_is_quarantined_is_listed_over_all_pages(wattbook: Wattbook, gateway: FakeGateway) -> None:
    pages = [{"items": [item(number) for number in (9, 8)], "open": 3}, {"items": [item(7)], "open": 3}]
    gateway.answers["GET /v1/quarantine"] = pages

    done = wattbook("quarantine", "list")

    assert [line.split()[0] for line in done.out.splitlines() if line[:6].strip().isdigit()] == [
        "9",
        "8",
        "7",
    ]
    assert "28 Feb 11:10:12" in done.out
    assert "3 frames shown, 3 open." in done.out
    assert gateway.asked[0][2] == "state=open&limit=50"
    assert len(json.loads(wattbook("quarantine", "list", "--json", "--limit", "1").out)["items"]) == 1


def test_nothing_that_others_wrote_steers_the_terminal(wattbook: Wattbook, gateway: FakeGateway) -> None:
    steering = "bye\x1b[2J\x1b]0;owned\x07\x9b31m\u202e"
    odd = item(7, reason=steering, trade_id=steering, origin=steering, frame=steering)
    gateway.answers["GET /v1/quarantine"] = [{"items": [odd], "open": 1}]
    gateway.answers["GET /v1/quarantine/7"] = odd
    gateway.answers["POST /v1/quarantine/7/replay"] = odd
    gateway.answers["GET /v1/quarantine/8"] = (404, steering)

    for command in (["list"], ["list", "--json"], ["show", "7"], ["show", "8"], ["replay", "7"]):
        done = wattbook("quarantine", *command)
        said = done.out + done.err
        assert "bye" in said, command
        assert all(line.isprintable() for line in said.splitlines()), command
    listed = json.loads(wattbook("quarantine", "list", "--json").out)
    assert listed["items"][0]["reason"] == steering  # exact for programs all the same


def test_a_table_shows_text_that_nobody_thought_of_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    made = table("Name")
    made.add_row("a\x1b[2Jb")
    console().print(made)
    console().print(Text("c\x9bd"))

    assert "\x1b" not in capsys.readouterr().out.replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_an_empty_quarantine_is_said(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["GET /v1/quarantine"] = [{"items": [], "open": 0}]

    assert wattbook("quarantine", "list").out == "No frames (open); 0 open.\n"
    assert wattbook("quarantine", "list", "--state", "all").code == 0
    assert gateway.asked[-1][2] == "limit=50"


def test_a_frame_is_shown_as_it_is_and_commands_no_terminal(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["GET /v1/quarantine/7"] = item(
        7, frame='{"x": "[bold]\x1b[31m"}', decided_by="ana", decided=UPDATED, state="dropped"
    )
    gateway.answers["GET /v1/quarantine/8"] = item(8, frame_base64="/w==")

    out = wattbook("quarantine", "show", "7").out

    assert '{"x": "[bold]\\x1b[31m"}' in out
    assert "dropped by ana, 28 Feb 11:10:12" in out
    assert "base64: /w==" in wattbook("quarantine", "show", "8").out
    assert json.loads(wattbook("quarantine", "show", "7", "--json").out)["id"] == 7


def test_replaying_says_of_each_what_became_of_it(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["POST /v1/quarantine/7/replay"] = item(7, state="replayed", trade_id="t_5")
    gateway.answers["POST /v1/quarantine/8/replay"] = item(8)
    gateway.answers["POST /v1/quarantine/9/replay"] = (404, "nothing is quarantined under the number 9")
    gateway.answers["GET /v1/quarantine"] = [{"items": [item(8), item(7)], "open": 2}]

    done = wattbook("quarantine", "replay", "7", "8", "9")
    everything = wattbook("quarantine", "replay", "--all")

    assert done.code == 1
    assert done.out == "7: replayed (t_5)\n8: still open: price: 'x' is no number\n"
    assert done.err == "wattbook: 9: nothing is quarantined under the number 9\n"
    assert everything.code == 2
    assert everything.out.splitlines()[0] == "7: replayed (t_5)"
    assert "or --all" in wattbook("quarantine", "replay").err
    assert wattbook("quarantine", "replay", "7", "--trader", "trader 1").code == 0
    assert gateway.asked[-1] == ("POST", "/v1/quarantine/7/replay", "trader_id=trader+1")


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        (["--all"], ["5", "6", "7"]),
        (["--matching", "UNKNOWN field: status"], ["5", "7"]),
        (["--before", "2023-02-28T14:00"], ["5", "6"]),
        (["--before", "2023-02-28T14:00", "--matching", "status"], ["5"]),
        (["--matching", "nothing of the kind"], []),
    ],
)
@pytest.mark.parametrize("command", [["replay"], ["drop", "--reason", "noise"]])
def test_many_are_decided_over_by_a_filter(
    wattbook: Wattbook, gateway: FakeGateway, command: list[str], chosen: list[str], numbers: list[str]
) -> None:
    early, late = "2023-02-28T12:59:59.999999Z", "2023-02-28T13:00:00Z"  # Berlin is an hour ahead
    waiting = [
        item(7, received=late, reason="unknown field: status"),
        item(6, received=early),
        item(5, received=early, reason="unknown field: status"),
    ]
    gateway.answers["GET /v1/quarantine"] = [{"items": waiting, "open": 3}]
    state = {"replay": "replayed", "drop": "dropped"}[command[0]]
    for number in (5, 6, 7):
        gateway.answers[f"POST /v1/quarantine/{number}/{command[0]}"] = item(number, state=state)

    done = wattbook("quarantine", *command, *chosen)

    assert done.code == 0
    assert [line.split(":")[0] for line in done.out.splitlines() if state in line] == numbers
    assert "say which" in wattbook("quarantine", *command, "7", *chosen).err


def test_dropping_takes_a_reason_along(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["POST /v1/quarantine/7/drop"] = item(7, state="dropped")

    assert wattbook("quarantine", "drop", "7", "--reason", "a test of theirs").out == "7: dropped\n"
    assert json.loads(gateway.bodies[-1]) == {"reason": "a test of theirs"}
    assert "Missing option '--reason'" in wattbook("quarantine", "drop", "7").err


RECONCILED = {
    "day": "2023-02-28", "reconciled": True, "reconciled_at": "2023-02-28T23:00:05Z",
    "file_name": "epex_trades_20230228.csv", "in_both": 1234, "recovered": 2, "feed_only": 0, "differing": 0,
    "complete_to": "2023-02-28T13:03:07Z",
    "differences": [{"trade_id": f"t_{n}", "kind": "recovered", "detail": ""} for n in (1, 2)],
}  # fmt: skip


def test_a_day_that_ties_out_says_what_was_recovered(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["GET /v1/reconciliations/2023-02-28"] = RECONCILED

    done = wattbook("reconcile", "2023-02-28")

    assert done.code == 0
    assert "2023-02-28: epex_trades_20230228.csv, compared 01 Mar 00:00:05" in done.out
    assert "   1,234  in the file and in the feed\n       2  recovered from the file\n" in done.out
    assert "t_2 only in the file: booked" in " ".join(done.out.split())
    assert "0  only in the file, and refused" in done.out
    assert "without a gap to 28 Feb 14:03:07" in done.out


def test_a_day_that_does_not_tie_out_ends_with_2_and_without_a_file_with_3(
    wattbook: Wattbook, gateway: FakeGateway
) -> None:
    said = {
        "price": 1000, "quantity": 12.3, "direction": "sell", "delivery_day": "2023-03-01",
        "delivery_hour": 14, "trader_id": "trader_1", "execution_time": "2023-02-28T11:12:35Z",
        "trades": "/v1/trades",
    }  # fmt: skip
    differs = {
        "trade_id": "t_9", "kind": "differs", "detail": "", "file": {**said, "price": 1050}, "feed": said,
        "booked": None,
    }  # fmt: skip
    gateway.answers["GET /v1/reconciliations/2023-02-28"] = {
        **RECONCILED, "differing": 1, "differences": [*RECONCILED["differences"], differs],  # type: ignore[misc]
    }  # fmt: skip
    gateway.answers["GET /v1/reconciliations/2023-03-01"] = {
        **RECONCILED, "day": "2023-03-01", "reconciled": False, "reconciled_at": None, "differences": [],
        "complete_to": None,
    }  # fmt: skip

    differing = wattbook("reconcile", "2023-02-28")
    without = wattbook("reconcile", "2023-03-01")

    assert (differing.code, without.code) == (2, 3)
    assert differing.out.index("t_9") < differing.out.index("t_1")
    text = " ".join(differing.out.split())
    for words in ("12.3 MW at", "10.50 €/MWh", "10.00 €/MWh", "trader_1", "14–15", "28 Feb 12:12:35"):
        assert words in text
    assert "No file of 2023-03-01 has been compared yet" in without.out
    assert json.loads(wattbook("reconcile", "2023-03-01", "--json").out)["reconciled"] is False


def priced(label: str, value: float) -> dict[str, Any]:
    return {
        "delivery_start": "2023-02-28T13:00:00Z", "delivery_hour": int(label[:2]), "label": label,
        "value_eur_per_mwh": value, "last_update": UPDATED, "fetched": UPDATED, "cycle_start": UPDATED,
    }  # fmt: skip


def test_prices_are_listed_with_when_they_were_said(wattbook: Wattbook, gateway: FakeGateway) -> None:
    found = {"delivery_day": "2023-02-28", "area": "DE", "prices": [priced("14–15", -1234.567)]}
    gateway.answers["GET /v1/reference-prices"] = found

    done = wattbook("prices", "--day", "2023-02-28")

    assert rows_of(done.out)["14–15"].startswith("-1,234.57 28 Feb 11:10:12 28 Feb 11:10:12 ")
    assert ("GET", "/v1/reference-prices", "delivery_day=2023-02-28&area=DE") in gateway.asked
    assert json.loads(wattbook("prices", "--json").out) == found
    gateway.answers["GET /v1/reference-prices"] = {**found, "prices": []}
    assert "No prices yet." in wattbook("prices").out


def test_today_and_ages_are_those_of_the_desk(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.answers["GET /healthz"] = {"status": "ok", "now": "2023-02-28T23:40:12Z"}
    found = {"delivery_day": "2023-03-01", "area": "DE", "prices": [priced("14–15", 10)]}
    gateway.answers["GET /v1/reference-prices"] = found

    done = wattbook("prices")
    wattbook("report", "ana", "--day", "yesterday")

    assert rows_of(done.out)["14–15"].split()[-2:] == ["13", "h"]
    queries = {path: query for _, path, query in gateway.asked}
    assert queries["/v1/reference-prices"] == "delivery_day=2023-03-01&area=DE"  # after midnight in Berlin
    assert "delivery_day=2023-02-28" in queries["/v1/reports/pnl"]


@pytest.mark.parametrize(
    ("day", "hour", "starts"),
    [
        ("2023-02-28", "14", ["2023-02-28T13:00:00Z"]),
        ("2023-02-28", "2", ["2023-02-28T01:00:00Z"]),
        ("2023-10-29", "2", ["2023-10-29T00:00:00Z", "2023-10-29T01:00:00Z"]),
        ("2023-10-29", "02b", ["2023-10-29T01:00:00Z"]),
    ],
)
def test_the_history_of_an_hour_is_asked_by_its_label(
    wattbook: Wattbook, gateway: FakeGateway, day: str, hour: str, starts: list[str]
) -> None:
    found = {"delivery_start": "x", "area": "DE", "prices": [priced("14–15", 10), priced("14–15", 10.25)]}
    paths = [f"/v1/reference-prices/{start.replace(':', '%3A')}/history" for start in starts]
    gateway.answers |= {f"GET {path}": found for path in paths}

    done = wattbook("prices", "--day", day, "--hour", hour)

    assert done.code == 0, done
    assert [path for _, path, _ in gateway.asked] == paths
    assert done.out.count("10.25") == len(starts)


@pytest.mark.parametrize(("day", "hour"), [("2023-03-26", "2"), ("2023-02-28", "24"), ("2023-02-28", "x")])
def test_an_hour_there_is_not_is_said(wattbook: Wattbook, gateway: FakeGateway, day: str, hour: str) -> None:
    done = wattbook("prices", "--day", day, "--hour", hour)

    assert (done.code, gateway.asked) == (1, [])
    assert f"{hour!r} is no hour of {day}; say 00 to 23" in done.err


def test_subcommands_have_help(wattbook: Wattbook) -> None:
    for name in ("list", "show", "replay", "drop"):
        assert "Usage: wattbook quarantine" in wattbook("quarantine", name, "--help").out
