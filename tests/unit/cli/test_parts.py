"""The parts of ``wattbook up`` one by one."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from wattbook.clock import FakeClock
from wattbook.rpc import Server
from wattbook.walls import OPEN
from wattbook_cli.clients.probes import is_healthy
from wattbook_cli.clients.processes import refuse_busy_ports
from wattbook_cli.domain.days import day_named
from wattbook_cli.domain.desk import Addresses, Layout, Probe, ProbeKind, Secrets, Service
from wattbook_cli.domain.outside import Outside, outside, simulated_clock
from wattbook_cli.domain.restarts import RestartPolicy, ending
from wattbook_cli.domain.services import services
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.folder import load_secrets, make_folder, settle_admin_password
from wattbook_cli.store.logs import Notice, ServiceLog
from wattbook_cli.store.run_state import RunState
from wattbook_cli.usecases.notices import Notices
from wattbook_cli.usecases.up import _remember

from tests.support.ports import free_port
from tests.unit.cli.conftest import process

NIGHT = datetime(2023, 2, 28, 23, 30, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def layout_in(folder: Path) -> Layout:
    layout = Layout(folder / "data")
    make_folder(layout)
    return layout


def test_the_help_takes_less_than_300_ms_of_a_processor(tmp_path: Path) -> None:
    measure = "import time; t = time.process_time(); import wattbook_cli.app as a; a.run(['--help'], {}); "
    shown = subprocess.run(
        [sys.executable, "-c", measure + "import sys; print(time.process_time() - t, file=sys.stderr)"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip

    assert float(shown.stderr) < 0.3


def test_nothing_heavy_is_loaded_for_the_supervisor(tmp_path: Path) -> None:
    script = "import sys, wattbook_cli.api.up; print([m for m in %r if m in sys.modules])"
    heavy = ("grpc", "sqlalchemy", "httpx", "rich.table", "psutil", "cryptography")

    shown = subprocess.run(
        [sys.executable, "-c", script % (heavy,)], capture_output=True, text=True, check=True, cwd=tmp_path
    )

    assert shown.stdout.strip() == "[]"


def test_a_grpc_service_is_healthy_once_it_says_so() -> None:
    port = free_port()
    server = Server(f"127.0.0.1:{port}", guard=OPEN, workers=2)
    probe = Probe(ProbeKind.GRPC, "127.0.0.1", port)

    before = is_healthy(probe, timeout_s=1)
    server.start()
    starting = is_healthy(probe, timeout_s=1)
    server.set_ready()
    ready = is_healthy(probe, timeout_s=1)
    server.stop(0)

    assert (before, starting, ready, is_healthy(probe, timeout_s=1)) == (False, False, True, False)


@pytest.mark.parametrize("kind", [ProbeKind.GRPC, ProbeKind.HTTP])
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 503 No\r\n\r\n", b"\0\0\4\0\0\0\0\0\1\1\2\3\4", b"\xff" * 64]
)
def test_what_answers_something_else_is_not_healthy(kind: ProbeKind, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        probe = Probe(kind, "127.0.0.1", listener.getsockname()[1])

        assert not is_healthy(probe, timeout_s=0.5)

        thread.join()


def test_the_data_folder_is_laid_out_with_its_secrets_kept_private(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    made = load_secrets(layout, admin_password="")

    key = load_pem_private_key(made.signing_key_file.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"
    assert all(mode(folder) == 0o700 for folder in layout.private)
    assert all(mode(file) == 0o600 for file in layout.secrets.iterdir())
    assert (layout.inbox / "archive").is_dir()
    assert (layout.inbox / "rejected").is_dir()
    assert load_secrets(layout, admin_password="") == made
    assert len({made.session_key, *made.client_secrets.values(), made.admin_if_new}) == 6
    assert made.session_key not in repr(made)


def test_secrets_that_others_could_read_are_closed_to_them(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    load_secrets(layout, admin_password="")
    layout.secrets.chmod(0o755)
    (layout.secrets / "session-key").chmod(0o644)

    make_folder(layout)
    load_secrets(layout, admin_password="")

    assert mode(layout.secrets) == 0o700
    assert mode(layout.secrets / "session-key") == 0o600


def test_a_made_password_is_kept_only_until_it_was_told(tmp_path: Path) -> None:
    layout = layout_in(tmp_path)
    candidate = load_secrets(layout, admin_password="").admin_if_new
    assert candidate
    assert load_secrets(layout, admin_password="").admin_if_new == candidate  # a start cut short

    settle_admin_password(layout)

    assert load_secrets(layout, admin_password="").admin_if_new == ""
    assert not any(candidate in file.read_text() for file in layout.secrets.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Stop, match=r"cannot write to the data folder .*file/data: Not a directory"):
        make_folder(Layout(tmp_path / "file" / "data"))


def test_a_busy_port_is_named_with_what_it_is_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        words = rf"{port} \(for report pages\) is in use.*this desk uses {port}, {port + 2} to {port + 3}\)"
        others = {"a": ("127.0.0.1", port + 2), "b": ("127.0.0.1", port + 3)}
        with pytest.raises(Stop, match=words):
            refuse_busy_ports({"report pages": ("127.0.0.1", port), **others})


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Stop, match="this machine has no such address"):
        refuse_busy_ports({"gateway": ("192.0.2.1", 8080)})


def test_two_supervisors_never_hold_the_same_folder(tmp_path: Path) -> None:
    state = RunState(layout_in(tmp_path))

    with state.held():
        state.write({"pid": 7, "gateway_url": "http://x"})
        assert state.is_held()
        with (
            pytest.raises(Stop, match=r"already runs on .*, pid 7, at http://x"),
            RunState(layout_in(tmp_path)).held(),
        ):
            pass  # pragma: no cover

    assert not state.is_held()


CLIENTS = {name: f"secret of {name}" for name in ("ingest", "report", "pricing", "meter")}


def of_desk(
    tmp_path: Path, host: str = "127.0.0.1", *, world: Outside | None = None, **environment: str
) -> dict[str, Service]:
    known = Secrets(
        tmp_path / "key.pem", "session", tmp_path / "verify-keys.pem", CLIENTS, admin_if_new="made"
    )
    world = world or Outside()
    addresses = Addresses(9000, host, has_pricing=bool(world.market_data_url), has_sandbox=world.has_sandbox)
    made = services(
        layout=Layout(tmp_path), addresses=addresses, secrets=known, environment=environment, outside=world
    )
    return {service.name: service for service in made}


def test_each_service_is_told_what_it_needs_and_no_other_s_secrets(tmp_path: Path) -> None:
    found = of_desk(
        tmp_path, WATTBOOK_PASSWORD="mine", WATTBOOK_LOG_LEVEL="DEBUG", HTTP_PROXY="p", PATH="/bin"
    )

    secrets = {
        name: {
            value
            for value in service.environment.values()
            if value in {"session", *CLIENTS.values(), "made", "mine"}
        }
        for name, service in found.items()
    }
    assert list(found) == [
        "trade-service",
        "cash-service",
        "report-service",
        "gateway",
        "meter-service",
        "ingest-service",
    ]
    assert secrets == {
        "trade-service": set(),
        "cash-service": set(),
        "report-service": {"session", CLIENTS["report"]},
        "gateway": {*CLIENTS.values(), "made"},
        "meter-service": {"session", CLIENTS["meter"]},
        "ingest-service": {CLIENTS["ingest"]},
    }
    for service in found.values():
        assert service.environment["WATTBOOK_LOG_LEVEL"] == "DEBUG"
        assert service.environment["WATTBOOK_STOP_WITH_PARENT"] == "true"
        assert "HTTP_PROXY" not in service.environment
        assert service.command[1:] == ("-m", f"{service.name.replace('-', '_')}.app")


def test_ports_follow_from_the_base_and_internal_ones_stay_on_this_machine(tmp_path: Path) -> None:
    found = of_desk(tmp_path, host="0.0.0.0")

    assert found["gateway"].environment["WATTBOOK_GATEWAY_LISTEN"] == "0.0.0.0:9000"
    assert found["report-service"].environment["WATTBOOK_REPORT_HTTP_LISTEN"] == "0.0.0.0:9001"
    assert found["report-service"].environment["WATTBOOK_GATEWAY_URL"] == "http://127.0.0.1:9000"
    assert found["trade-service"].environment["WATTBOOK_TRADE_LISTEN"] == "127.0.0.1:9010"
    assert found["report-service"].ports == (9011, 9001)
    assert found["ingest-service"].ports == (9012,)
    assert found["meter-service"].ports == (9014, 9002)


def test_without_an_outside_world_there_is_no_feed_and_no_pricing(tmp_path: Path) -> None:
    world = outside(base=9000, has_sandbox=False, clock={}, environment={"WATTBOOK_EXCHANGE_URLS": " "})
    found = of_desk(tmp_path, world=world)

    assert list(found) == [
        "trade-service",
        "cash-service",
        "report-service",
        "gateway",
        "meter-service",
        "ingest-service",
    ]
    told = {name for service in found.values() for name in service.environment}
    assert not told & {"WATTBOOK_EXCHANGE_URLS", "WATTBOOK_MARKET_DATA_URL", "WATTBOOK_PRICING_TARGET"}
    assert found["gateway"].environment["WATTBOOK_INGEST_TARGET"] == "127.0.0.1:9012"


def test_a_real_outside_world_is_told_to_those_only_who_call_it(tmp_path: Path) -> None:
    known = {
        "WATTBOOK_EXCHANGE_URLS": "wss://me:secret@a.example/feed?key=secret,ws://b.example",
        "WATTBOOK_MARKET_DATA_URL": "https://p.example/v1",
    }
    world = outside(base=9000, has_sandbox=False, clock={}, environment=known)
    found = of_desk(tmp_path, world=world, **known)

    names = (
        "trade-service",
        "pricing-service",
        "cash-service",
        "report-service",
        "gateway",
        "meter-service",
        "ingest-service",
    )
    assert tuple(found) == names
    for name, service in found.items():
        told = {key: service.environment[key] for key in known if key in service.environment}
        owner = {"ingest-service": "WATTBOOK_EXCHANGE_URLS", "pricing-service": "WATTBOOK_MARKET_DATA_URL"}
        assert told == ({owner[name]: known[owner[name]]} if name in owner else {})
    assert found["report-service"].environment["WATTBOOK_PRICING_TARGET"] == "127.0.0.1:9013"
    assert found["gateway"].environment["WATTBOOK_PRICING_TARGET"] == "127.0.0.1:9013"
    assert world.shown(Addresses(9000)) == [
        "  World        real",
        "  Exchange     wss://a.example/feed",
        "  Exchange     ws://b.example",
        "  Market data  https://p.example/v1",
        "  Bank         none: WATTBOOK_BANK_URL names one",
    ]
    assert "secret" not in repr(world)


def test_the_sandbox_is_what_the_desk_listens_to_and_stops_first(tmp_path: Path) -> None:
    real = {"WATTBOOK_EXCHANGE_URLS": "ws://real", "WATTBOOK_SANDBOX_SEED": "7"}
    clock = simulated_clock(start="2023-02-28T08:00Z", speed=60, environment={}, now=NIGHT)
    world = outside(base=9000, has_sandbox=True, clock=clock, environment=real)
    found = of_desk(tmp_path, world=world, **real)

    assert list(found)[-3:] == ["sandbox-market-data", "sandbox-bank", "sandbox-exchange"]
    exchange = found["sandbox-exchange"]
    assert found["ingest-service"].environment["WATTBOOK_EXCHANGE_URLS"] == "ws://127.0.0.1:9015"
    assert found["pricing-service"].environment["WATTBOOK_MARKET_DATA_URL"] == "http://127.0.0.1:9017"
    assert exchange.environment["WATTBOOK_SANDBOX_EXCHANGE_LISTEN"] == "127.0.0.1:9015"
    assert exchange.environment["WATTBOOK_SANDBOX_EXCHANGE_FILES"] == str(tmp_path / "inbox")
    assert exchange.environment["WATTBOOK_SANDBOX_SEED"] == "7"
    assert exchange.command[1:] == ("-m", "sandbox.exchange")
    assert (exchange.ports, found["sandbox-market-data"].ports) == ((9015, 9016), (9017, 9018))
    assert found["sandbox-bank"].ports == (9020, 9021)
    assert (world.bank_url, found["sandbox-bank"].environment["WATTBOOK_SANDBOX_BANK_LISTEN"]) == (
        "http://127.0.0.1:9020",
        "127.0.0.1:9020",
    )
    for service in found.values():
        assert service.environment["WATTBOOK_CLOCK_START"] == "2023-02-28T08:00:00+00:00"
        assert service.environment["WATTBOOK_CLOCK_SPEED"] == "60"
        assert service.environment["WATTBOOK_CLOCK_ANCHOR"] == NIGHT.isoformat()


BOTH = {"WATTBOOK_EXCHANGE_URLS": "ws://x.example", "WATTBOOK_MARKET_DATA_URL": "http://p.example"}
ONLY_BANK = {"WATTBOOK_BANK_URL": "https://b.example"}
ONLY_EXCHANGE, ONLY_PROVIDER = ({name: BOTH[name]} for name in BOTH)


@pytest.mark.parametrize(
    ("asked", "environment", "was_real", "is_sandbox"),
    [
        (None, {}, False, True),
        (None, {"WATTBOOK_EXCHANGE_URLS": " ", "WATTBOOK_MARKET_DATA_URL": ""}, False, True),
        (None, BOTH, False, False),
        (None, ONLY_EXCHANGE, False, False),  # prices made up beside real trades would mislead
        (None, ONLY_PROVIDER, False, False),
        (None, ONLY_BANK, False, False),  # nor payments made up beside real ones
        (None, {}, True, False),  # trades made up must not get into a real book by a variable forgotten
        (True, BOTH, True, True),
        (False, {}, False, False),
    ],
)
def test_the_sandbox_is_there_unless_anybody_real_is_named(
    asked: bool | None, environment: dict[str, str], *, was_real: bool, is_sandbox: bool
) -> None:
    world = outside(base=9000, has_sandbox=asked, clock={}, environment=environment, was_real=was_real)

    assert world.has_sandbox is is_sandbox
    named = {} if is_sandbox else environment
    if not is_sandbox:
        assert world.exchange_urls == named.get("WATTBOOK_EXCHANGE_URLS", "")
        assert world.market_data_url == named.get("WATTBOOK_MARKET_DATA_URL", "")
        assert world.bank_url == named.get("WATTBOOK_BANK_URL", "")
        assert world.is_real is bool(named)


def test_the_sandboxs_bank_is_followed_as_it_speaks_whatever_is_set_for_a_real_one(tmp_path: Path) -> None:
    world = outside(base=9000, has_sandbox=None, clock={}, environment={})
    found = of_desk(tmp_path, world=world, SETTING="medium", WATTBOOK_BANK_DIALECT="original")

    told = found["cash-service"].environment
    assert found["cash-service"].ports == (9019,)
    assert (told["WATTBOOK_BANK_URL"], told["WATTBOOK_BANK_DIALECT"]) == ("http://127.0.0.1:9020", "")
    assert found["sandbox-bank"].environment["SETTING"] == "medium"


def test_a_desk_that_had_anything_real_gets_no_made_up_payments_even_if_the_sandbox_is_asked_for() -> None:
    world = outside(base=9000, has_sandbox=True, clock={}, environment={}, was_real=True)

    assert (world.has_sandbox, world.bank_url) == (True, "")


def test_a_real_bank_is_refused_where_payments_were_made_up(tmp_path: Path) -> None:
    made_up = outside(base=9000, has_sandbox=None, clock={}, environment={})
    real = outside(base=9000, has_sandbox=None, clock={}, environment=ONLY_BANK)
    layout = Layout(tmp_path)
    layout.made_payments_mark.parent.mkdir()
    _remember(made_up, layout, print)

    with pytest.raises(Stop, match="made up"):
        _remember(real, layout, print)
    assert not layout.real_mark.exists()


def test_which_world_it_is_is_said() -> None:
    def said(asked: bool | None = None, *, was_real: bool = False, **environment: str) -> str:
        clock = simulated_clock(start=None, speed=None, environment=environment, now=NIGHT)
        world = outside(base=9000, has_sandbox=asked, clock=clock, environment=environment, was_real=was_real)
        return "\n".join(world.shown(Addresses(9000, has_sandbox=world.has_sandbox)))

    fast = {"WATTBOOK_CLOCK_START": "2023-02-28T08:00Z", "WATTBOOK_CLOCK_SPEED": "60"}
    assert "World        simulated by the sandbox; --no-sandbox goes without\n" in said()
    assert "which began at 2023-02-28T08:00:00+00:00, 60 times as fast as real time;" in said(**fast)
    assert "WATTBOOK_EXCHANGE_URLS not used, since --sandbox was given" in said(True, **ONLY_EXCHANGE)
    half = said(**ONLY_EXCHANGE).splitlines()
    assert half[0] == "  World        real"
    assert half[2] == "  Market data  none: WATTBOOK_MARKET_DATA_URL names one"
    assert said(**ONLY_PROVIDER).splitlines()[1] == "  Exchange     none: WATTBOOK_EXCHANGE_URLS names one"
    bank = said(**ONLY_BANK, WATTBOOK_EXCHANGE_URLS="ws://x").splitlines()
    assert bank[-1] == "  Bank         https://b.example"
    assert said(False).splitlines() == [
        "  World        none: no exchange is listened to, nobody is asked for prices or payments"
    ]
    assert "an earlier start of this data folder had a real one" in said(was_real=True)


def test_what_is_made_up_is_not_kept_for_long_unless_told(tmp_path: Path) -> None:
    def kept(world: Outside, **environment: str) -> tuple[str | None, str | None]:
        found = of_desk(tmp_path, world=world, **environment)
        exchange = found.get("sandbox-exchange")
        days = found["ingest-service"].environment.get("WATTBOOK_FEED_TRADES_KEEP_DAYS")
        return days, exchange and exchange.environment["WATTBOOK_SANDBOX_EXCHANGE_KEEP_TRADES"]

    simulated = outside(base=9000, has_sandbox=True, clock={}, environment={})
    assert kept(simulated) == ("7", "200000")
    told = {"WATTBOOK_FEED_TRADES_KEEP_DAYS": "3", "WATTBOOK_SANDBOX_EXCHANGE_KEEP_TRADES": "9"}
    assert kept(simulated, **told) == ("3", "9")
    assert kept(outside(base=9000, has_sandbox=None, clock={}, environment=BOTH)) == (None, None)


def test_the_ports_that_are_checked_are_exactly_those_used(tmp_path: Path) -> None:
    for world in (Outside(), Outside("ws://x"), Outside("", "http://x"), Outside("ws://x", "http://x", True)):
        used = {port for service in of_desk(tmp_path, world=world).values() for port in service.ports}
        addresses = Addresses(9000, has_pricing=bool(world.market_data_url), has_sandbox=world.has_sandbox)

        assert {port for _, port in addresses.ports.values()} == used


def test_a_clock_is_told_as_said_else_as_the_environment_says() -> None:
    known = {"WATTBOOK_CLOCK_START": "2023-02-28T08:00+01:00", "WATTBOOK_CLOCK_SPEED": "2"}

    assert simulated_clock(start=None, speed=None, environment={}, now=NIGHT) == {}
    assert simulated_clock(start=None, speed=None, environment=known, now=NIGHT) == {
        "WATTBOOK_CLOCK_START": "2023-02-28T08:00:00+01:00",
        "WATTBOOK_CLOCK_SPEED": "2",
        "WATTBOOK_CLOCK_ANCHOR": NIGHT.isoformat(),
    }
    said = simulated_clock(start="2023-03-01T00:00Z", speed=0.5, environment=known, now=NIGHT)
    assert (said["WATTBOOK_CLOCK_START"], said["WATTBOOK_CLOCK_SPEED"]) == (
        "2023-03-01T00:00:00+00:00",
        "0.5",
    )


def test_restarts_wait_longer_each_time_up_to_a_bound() -> None:
    policy = RestartPolicy(first_s=0.2, most_s=15)

    assert [policy.delay_s(deaths, jitter=0) for deaths in (1, 2, 3, 50)] == [0.2, 0.4, 0.8, 15]
    assert policy.delay_s(1, jitter=1) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("exit_code", "words"), [(1, "exit 1"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")]
)
def test_an_ending_is_said_in_words(exit_code: int, words: str) -> None:
    assert ending(exit_code) == words


@pytest.mark.parametrize(
    ("text", "day"),
    [("today", date(2023, 3, 1)), ("yesterday", date(2023, 2, 28)), ("2023-02-03", date(2023, 2, 3))],
)
def test_days_are_counted_as_the_area_counts_them(text: str, day: date) -> None:
    assert day_named(text, area="DE", clock=FakeClock(NIGHT)) == day
    assert day_named("today", area="GB", clock=FakeClock(NIGHT)) == date(2023, 2, 28)


def logged(log: ServiceLog, *lines: object) -> None:
    with log.open() as file:
        for line in lines:
            file.write((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")


def test_a_log_tells_its_warnings_and_errors_once(tmp_path: Path) -> None:
    log = ServiceLog(tmp_path / "s.log")
    logged(log, {"level": "info", "message": "a"}, {"level": "error", "message": "b"}, "not json", '{"half')

    assert log.notices() == [Notice("error", "b")]
    assert log.notices() == []
    logged(log, {"level": "warning", "message": "c"})
    assert log.notices() == [Notice("warning", "c")]


def test_a_log_keeps_its_last_starts_and_a_bound_on_its_size(tmp_path: Path) -> None:
    for number in range(6):
        logged(ServiceLog(tmp_path / "s.log"), f"start {number}")
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {
        "s.log": "start 5\n",
        "s.log.1": "start 4\n",
        "s.log.2": "start 3\n",
        "s.log.3": "start 2\n",
    }

    log = ServiceLog(tmp_path / "s.log", most_bytes=100)
    with log.open() as file:
        file.write(b"x" * 101 + b"\n")
        log.keep_small()
        file.write(b"after\n")

    assert (tmp_path / "s.log").read_text() == "after\n"
    assert (tmp_path / "s.log.1").read_text() == "x" * 101 + "\n"
    assert mode(tmp_path / "s.log") == 0o600


def test_a_notice_that_comes_again_and_again_is_shown_with_its_number() -> None:
    said: list[str] = []
    clock = FakeClock(NIGHT)
    notices = Notices(say=said.append, clock=clock)

    for _ in range(5):
        notices.show("gateway", [Notice("warning", "slow")])
    clock.advance(60)
    notices.show("gateway", [Notice("warning", "slow")])

    assert said == ["warning: gateway: slow", "warning: gateway: slow (4 more of these)"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda base: ("--data", "file/data"), "cannot write to the data folder"),
        (lambda base: ("--host", "no.such.host.invalid"), "cannot listen on no.such.host.invalid"),
        (lambda base: ("--data", "what?"), "cannot hold a question mark"),
        (lambda base: ("--no-sandbox", "--clock-speed", "60"), "a simulated clock is for the sandbox only"),
        (lambda base: ("--sandbox", "--clock-start", "2023-02-28T08:00"), "does not say its offset"),
        (lambda base: ("--sandbox", "--clock-start", "noon"), "'noon' is no instant"),
        (lambda base: ("--sandbox", "--clock-start", "9999-12-31T23:00Z"), "is not between 1990-01-01 and"),
        (lambda base: ("--sandbox", "--clock-start", "0001-01-01T00:00+14:00"), "is not between 1990-01-01"),
        (lambda base: ("--sandbox", "--clock-speed", "0"), "not in the range"),
    ],
)
def test_up_refuses_in_one_line_what_cannot_work(
    tmp_path: Path, make: Callable[[int], tuple[str, ...]], words: str
) -> None:
    (tmp_path / "file").touch()
    base = free_port()

    done = process("up", "--data", "data", "--port-base", str(base), *make(base), cwd=tmp_path)

    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr + done.stdout


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m wattbook_cli --help | true", shell=True, cwd=tmp_path, env=dict(os.environ),
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stderr == ""
