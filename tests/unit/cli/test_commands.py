"""The commands that call the gateway."""

import json
import os
import pty
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from tests.unit.cli.conftest import Wattbook, process
from tests.unit.cli.fakes import REPORT_CSV, REPORT_JSON, FakeGateway

NOBODY = {"WATTBOOK_USER": None, "WATTBOOK_PASSWORD": None}
COMMANDS = (
    "up", "status", "report", "trades", "import", "prices", "feed", "quarantine", "reconcile", "users",
    "migrate", "db", "login", "logout",
)  # fmt: skip
HEADER = "id,price,quantity,direction,delivery_day,delivery_hour,trader_id,execution_time"


def test_a_report_lists_every_hour_and_the_total_within_80_columns(wattbook: Wattbook) -> None:
    done = wattbook("report", "trader_1", "--day", "2023-02-28")

    lines = done.out.splitlines()
    assert done.code == 0, done
    assert lines[0] == "trader_1, delivery 2023-02-28, DE (Europe/Berlin)"
    assert lines[2].split() == ["Hour", "Trades", "Buy", "MW", "Sell", "MW", "PnL", "EUR"]
    assert [line.split()[0] for line in lines[4:28]] == [f"{hour:02d}–{hour + 1:02d}" for hour in range(24)]
    assert lines[18].split() == ["14–15", "2", "0", "12", "+1,354.50"]
    assert lines[19].split() == ["15–16", "1", "4.5", "0", "-120.00"]
    assert lines[29].split() == ["Total", "3", "4.5", "12", "+1,234.50"]
    assert "Cash so far: +1,234.50 EUR over 3 trades; open position -7.5 MWh not valued." in done.out
    assert max(map(len, lines)) <= 80
    assert "\x1b" not in done.out


def test_a_report_is_asked_for_the_day_and_area_said(wattbook: Wattbook, gateway: FakeGateway) -> None:
    wattbook("report", "trader_1", "--day", "2023-02-28", "--area", "GB")

    assert gateway.asked[-1] == (
        "GET", "/v1/reports/pnl", "trader_id=trader_1&delivery_day=2023-02-28&area=GB"
    )  # fmt: skip


@pytest.mark.parametrize(("form", "body"), [("--json", REPORT_JSON + b"\n"), ("--csv", REPORT_CSV)])
def test_a_report_for_pipes_is_the_api_s_own(wattbook: Wattbook, form: str, body: bytes) -> None:
    assert wattbook("report", "trader_1", "--day", "2023-02-28", form).out.encode() == body


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--day", "28.2.2023"), "'28.2.2023' is no day"),
        (("--day", "2023-02-30"), "'2023-02-30' is no day"),
        (("--area", "XX"), "unknown area 'XX'"),
        (("--wat",), "No such option"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(
    wattbook: Wattbook, arguments: tuple[str, ...], words: str
) -> None:
    done = wattbook("report", "trader_1", *arguments)

    assert done.code == 1
    assert words in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "you see your own trades only", {}), "not allowed: you see your own trades only"),
        (
            (429, "too many wrong passwords", {"Retry-After": "30"}),
            "too many wrong passwords (try again in 30 s)",
        ),
        (
            (503, "the store is full", {}),
            "do that now: the store is full (status 503, request id req-7)",
        ),
        ((400, "delivery_day is wrong", {}), "wattbook: delivery_day is wrong"),
        ((401, "who are you", {}), "not signed in: who are you; `wattbook login` signs in"),
    ],
)
def test_refusals_say_what_to_do(
    wattbook: Wattbook, gateway: FakeGateway, refusal: tuple[int, str, dict[str, str]], words: str
) -> None:
    gateway.refuse_all = refusal

    done = wattbook("report", "trader_1")

    assert done.code == 1
    assert words in done.err
    assert done.err.count("\n") == 1


def test_a_gateway_that_is_not_there_is_said_in_one_line(wattbook: Wattbook) -> None:
    done = wattbook("report", "trader_1", WATTBOOK_URL="http://127.0.0.1:9")

    assert done.code == 1
    assert "cannot reach Wattbook at http://127.0.0.1:9: is it running? `make up` starts it" in done.err
    assert done.err.count("\n") == 1


def test_verbose_shows_the_request_id(wattbook: Wattbook) -> None:
    assert "GET /v1/reports/pnl: 200, request id req-7" in wattbook("report", "trader_1", "--verbose").err


def test_nobody_signed_in_and_no_terminal_is_said(wattbook: Wattbook) -> None:
    done = wattbook("report", "trader_1", **NOBODY)

    assert done.code == 1
    assert "not signed in; `wattbook login`" in done.err


def test_the_admin_password_of_the_environment_is_enough(wattbook: Wattbook) -> None:
    assert wattbook("report", "trader_1", **NOBODY, WATTBOOK_ADMIN_PASSWORD="right").code == 0


def test_the_gateway_of_the_desk_in_data_is_the_default(
    wattbook: Wattbook, gateway: FakeGateway, tmp_path: Path
) -> None:
    (tmp_path / "data" / "run").mkdir(parents=True)
    (tmp_path / "data" / "run" / "state.json").write_text(json.dumps({"gateway_url": gateway.url}))

    assert wattbook("report", "trader_1", WATTBOOK_URL=None).code == 0


def test_a_sign_in_is_kept_for_later_commands(
    wattbook: Wattbook, gateway: FakeGateway, tmp_path: Path
) -> None:
    signed_in = wattbook("login", "--user", "admin", "--password-stdin", stdin="right\n", **NOBODY)
    kept = tmp_path / "config" / "wattbook" / "sign-ins.json"

    assert signed_in.code == 0, signed_in
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "right" not in kept.read_text()
    assert wattbook("report", "trader_1", **NOBODY).code == 0
    assert gateway.refresh_tokens
    assert wattbook("logout", **NOBODY).code == 0
    assert not gateway.refresh_tokens, "a copy of the file is worth nothing any more"
    assert wattbook("report", "trader_1", **NOBODY).code == 1


def test_who_cannot_reach_the_gateway_is_signed_out_here_all_the_same(
    wattbook: Wattbook, gateway: FakeGateway
) -> None:
    wattbook("login", "--user", "admin", "--password-stdin", stdin="right\n", **NOBODY)
    gateway.refuse_all = (503, "away", {})
    assert wattbook("logout", **NOBODY).code == 0
    gateway.refuse_all = None

    assert wattbook("report", "trader_1", **NOBODY).code == 1


def test_a_sign_in_that_is_refused_is_said_and_not_kept(wattbook: Wattbook) -> None:
    done = wattbook("login", "--user", "admin", "--password-stdin", stdin="wrong\n", **NOBODY)

    assert done.code == 1
    assert "does not know this name and password" in done.err
    assert wattbook("report", "trader_1", **NOBODY).code == 1


def test_a_token_that_runs_out_is_exchanged(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.lifetime_s = 30
    wattbook("login", "--user", "admin", "--password-stdin", stdin="right\n", **NOBODY)
    gateway.lifetime_s = 3600

    assert wattbook("report", "trader_1", **NOBODY).code == 0
    assert [path for _, path, _ in gateway.asked].count("/v1/oauth/token") == 2
    assert wattbook("report", "trader_1", **NOBODY).code == 0
    assert [path for _, path, _ in gateway.asked].count("/v1/oauth/token") == 2


def test_a_token_that_is_refused_early_is_exchanged(wattbook: Wattbook, gateway: FakeGateway) -> None:
    wattbook("login", "--user", "admin", "--password-stdin", stdin="right\n", **NOBODY)
    gateway.forget_tokens()

    assert wattbook("report", "trader_1", **NOBODY).code == 0


def test_a_sign_in_that_ran_out_is_said_and_forgotten(wattbook: Wattbook, gateway: FakeGateway) -> None:
    wattbook("login", "--user", "admin", "--password-stdin", stdin="right\n", **NOBODY)
    gateway.forget_tokens()
    gateway.refresh_tokens.clear()

    done = wattbook("report", "trader_1", **NOBODY)

    assert done.code == 1
    assert "the sign-in of admin has run out; `wattbook login` signs in" in done.err
    assert "not signed in" in wattbook("report", "trader_1", **NOBODY).err


def test_a_file_is_sent_as_it_is_and_summed_up(
    wattbook: Wattbook, gateway: FakeGateway, tmp_path: Path
) -> None:
    content = HEADER + "\nt_1,fine\nt_2,duplicate\n"
    (tmp_path / "f.csv").write_text(content)

    done = wattbook("import", "f.csv")

    assert done.code == 0, done
    assert gateway.bodies[-1] == content.encode()
    assert gateway.asked[-1] == ("POST", "/v1/trades/batch", "results=refused&source=file")
    heads, _, figures = (line.split() for line in done.out.splitlines()[-3:])
    assert heads == ["File", "Added", "Duplicate", "Conflict", "Invalid", "Sec.", "Rows/s"]
    assert figures[:5] == ["f.csv", "1", "1", "0", "0"]


def test_refused_rows_are_listed_with_their_line_and_reason(wattbook: Wattbook, tmp_path: Path) -> None:
    rows = ["t_1,fine", "", "t_2,invalid", '"t_3,fine', "t_4,conflict", *["t,invalid"] * 30]
    (tmp_path / "f.csv").write_text("\n".join([HEADER, *rows]))

    done = wattbook("import", "f.csv", "--rejects", "out.csv")

    listed = [line.split() for line in done.out.splitlines()]
    assert done.code == 2
    assert ["4", "t_2", "invalid", "is", "invalid"] in listed
    assert "… and 12 more" in done.out
    kept = (tmp_path / "out.csv").read_text().splitlines()
    assert len(kept) == 33
    assert kept[1] == 'f.csv,2,4,t_2,invalid,is invalid,"t_2,invalid"'


def test_standard_input_is_csv_unless_told(wattbook: Wattbook, gateway: FakeGateway) -> None:
    assert wattbook("import", "-", stdin=HEADER + "\nt_1,fine\n").code == 0
    assert wattbook("import", "-", "--format", "ndjson", stdin="{}\n{}\n").out.split()[-6:-4] == ["2", "0"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("nowhere.csv",), "cannot read nowhere.csv: No such file or directory"),
        (("folder.csv",), "folder.csv is a folder"),
        (("what.txt",), "what.txt: neither .csv nor .ndjson; --format says which it is"),
        (("-", "-"), "standard input can be read only once"),
        ((), "Missing argument"),
    ],
)
def test_files_that_cannot_be_sent_are_said_before_anything_is(
    wattbook: Wattbook, gateway: FakeGateway, tmp_path: Path, names: tuple[str, ...], words: str
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "what.txt").touch()

    done = wattbook("import", *names)

    assert done.code == 1
    assert words in done.err
    assert not gateway.asked


def test_an_answer_that_breaks_off_is_a_failure(
    wattbook: Wattbook, gateway: FakeGateway, tmp_path: Path
) -> None:
    gateway.breaks_off = True
    (tmp_path / "f.csv").write_text(HEADER + "\nt_1,fine\n")

    done = wattbook("import", "f.csv")

    assert done.code == 1
    assert "broke off; import it again" in done.err


def test_a_user_is_added_with_a_made_password_that_works(wattbook: Wattbook, gateway: FakeGateway) -> None:
    done = wattbook("users", "add", "ana", "--trader-id", "trader_1", "--generate")

    password = done.out.split("Password: ")[1].split()[0]
    assert gateway.passwords["ana"] == password
    assert gateway.users["ana"]["roles"] == ["trader"]
    assert wattbook("report", WATTBOOK_USER="ana", WATTBOOK_PASSWORD=password).code == 0


def test_a_user_s_password_comes_from_standard_input(wattbook: Wattbook, gateway: FakeGateway) -> None:
    assert (
        wattbook("users", "add", "bo", "--role", "desk", "--password-stdin", stdin="pa:ss wörd\n").code == 0
    )
    assert gateway.passwords["bo"] == "pa:ss wörd"
    assert wattbook("report", "t", WATTBOOK_USER="bo", WATTBOOK_PASSWORD="pa:ss wörd").code == 0
    assert wattbook("users", "passwd", "bo", "--password-stdin", stdin="another\n").code == 0
    assert gateway.passwords["bo"] == "another"


def test_one_s_own_password_is_changed_with_the_old_one(wattbook: Wattbook, gateway: FakeGateway) -> None:
    done = wattbook("users", "passwd", "--password-stdin", stdin="newer\n")

    assert done.out == "The password of admin is set.\n"
    assert gateway.passwords["admin"] == "newer"


def test_users_are_listed_disabled_and_enabled(wattbook: Wattbook) -> None:
    wattbook("users", "add", "bo", "--generate")

    assert wattbook("users", "disable", "bo").out == "bo is disabled.\n"
    assert ["bo", "desk", "–", "disabled"] in [
        line.split() for line in wattbook("users", "list").out.splitlines()
    ]
    assert wattbook("users", "enable", "bo").code == 0
    assert [user["name"] for user in json.loads(wattbook("users", "list", "--json").out)] == ["admin", "bo"]


def test_a_user_there_is_not_is_said(wattbook: Wattbook) -> None:
    assert wattbook("users", "disable", "nobody").err == "wattbook: there is no user 'nobody'\n"


def test_a_new_password_is_never_taken_from_nowhere(wattbook: Wattbook) -> None:
    assert "give --generate or --password-stdin" in wattbook("users", "add", "bo").err


def trade(number: int) -> dict[str, object]:
    return {
        "id": f"t_{number}", "price": 2050, "quantity": 12.3, "direction": "sell",
        "delivery_day": "2023-02-28", "delivery_hour": 8, "trader_id": "trader_1",
        "execution_time": "2023-02-28T06:12:35Z",
    }  # fmt: skip


def test_trades_are_listed_over_all_pages(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.trades = [trade(number) for number in range(10_100)]

    listed = wattbook("trades", "--csv").out.splitlines()

    assert listed[0] == HEADER
    assert listed[1] == "t_0,2050,12.3,sell,2023-02-28,8,trader_1,2023-02-28T06:12:35Z"
    assert len(listed) == 10_101
    assert json.loads(wattbook("trades", "--json", "--limit", "10050").out) == gateway.trades[:10_050]
    assert json.loads(wattbook("trades", "--json").out) == gateway.trades


def test_a_table_of_trades_is_short_and_says_so(wattbook: Wattbook, gateway: FakeGateway) -> None:
    gateway.trades = [trade(number) for number in range(60)]

    done = wattbook("trades")

    assert "50 trades (the first 50; --limit shows more)." in done.out
    assert "20.50" in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert (
        wattbook("trades", "--json", "--limit", "1").out
        == f"[\n{json.dumps(trade(0), separators=(',', ':'))}\n]\n"
    )


def test_no_trades_are_said_and_served_as_an_empty_list(wattbook: Wattbook) -> None:
    assert wattbook("trades").out == "No trades.\n"
    assert json.loads(wattbook("trades", "--json").out) == []


def test_the_help_lists_every_command_without_loading_them(tmp_path: Path) -> None:
    done = process("--help", cwd=tmp_path)

    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout
    assert done.returncode == 0


def test_every_command_has_help(wattbook: Wattbook) -> None:
    for name in COMMANDS:
        done = wattbook(name, "--help")
        assert done.code == 0
        assert f"Usage: wattbook {name}" in done.out


def test_an_unknown_command_is_said_in_one_line(tmp_path: Path) -> None:
    done = process("fly", cwd=tmp_path)

    assert done.returncode == 1
    assert "No such command 'fly'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_status_of_nothing_ends_with_3(tmp_path: Path) -> None:
    done = process("status", "--data", "d", cwd=tmp_path)

    assert done.returncode == 3
    assert "Wattbook does not run on" in done.stderr
    assert json.loads(process("status", "--data", "d", "--json", cwd=tmp_path).stdout)["running"] is False


def test_ctrl_c_ends_a_command_quietly_with_130(gateway: FakeGateway, tmp_path: Path) -> None:
    known = {"WATTBOOK_URL": gateway.url, "WATTBOOK_USER": "admin", "WATTBOOK_PASSWORD": "right"}
    command = subprocess.Popen(
        [sys.executable, "-m", "wattbook_cli", "import", "-"], env={**os.environ, **known}, cwd=tmp_path,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: gateway.asked, timeout_s=10, what="it has asked who it is and reads standard input")

    command.send_signal(signal.SIGINT)
    out, err = command.communicate(timeout=10)

    assert command.returncode == 130
    assert (out, err.strip()) == ("", "")


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(gateway: FakeGateway, tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "WATTBOOK_URL": gateway.url}
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the command's process
        os.execve(sys.executable, [sys.executable, "-m", "wattbook_cli", "login"], environment)
    shown = b""
    for question, answer in ((b"User [admin]: ", b"admin\n"), (b"Password of admin: ", b"right\n")):
        while question not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, answer)

    _, status = os.waitpid(pid, 0)
    shown += os.read(terminal, 1000)
    os.close(terminal)

    assert os.waitstatus_to_exitcode(status) == 0
    assert b"Signed in as admin" in shown
    assert b"right" not in shown
