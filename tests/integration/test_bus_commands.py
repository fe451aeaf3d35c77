"""``wattbook bus`` and ``wattbook dead`` on both engines, as a platform engineer types them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from wattbook.bus import MAX_ATTEMPTS, Bus, DeadLetter, Message, open_bus
from wattbook.bus.rabbitmq import RabbitBus
from wattbook.bus.rabbitmq.address import Address
from wattbook.bus.topology import TRADE_SERVICE, Group, ingest_spool
from wattbook.retry import Backoff
from wattbook_cli.app import run
from wattbook_cli.usecases.bus import Operated

from tests.support.rabbitmq import Server

WHEN = datetime(2023, 2, 28, 11, 12, 35, tzinfo=UTC)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def environment() -> dict[str, str]:
    return {}


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs one; its exit status, and what it said on both."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run([*arguments, "--data", str(tmp_path)], environment)
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.servers)])
def bus(request: pytest.FixtureRequest, environment: dict[str, str], tmp_path: Path) -> Iterator[Bus]:
    if request.param == "embedded":
        opened = open_bus(f"sqlite:///{tmp_path}/bus/bus.db")
    else:
        opened = on_rabbitmq(request.getfixturevalue("rabbitmq_server"), environment)
    yield opened
    opened.close()


def on_rabbitmq(server: Server, environment: dict[str, str]) -> Bus:
    vhost = server.vhost()
    environment |= {
        "WATTBOOK_BUS_URL": server.url(vhost, password=""),
        "WATTBOOK_BUS_PASSWORD": server.password,
    }
    return RabbitBus(Address.of(server.url(vhost)), backoff=Backoff(first_s=0.01, most_s=0.02))


def let_die(bus: Bus, *bodies: bytes, group: Group = TRADE_SERVICE, kind: str = "trade.confirmed") -> None:
    subscription = bus.subscribe(group.types, group=group.name)
    bus.publish([Message(type=kind, body=body, occurred_at=WHEN) for body in bodies])
    for _ in range(MAX_ATTEMPTS * len(bodies)):
        (delivery,) = subscription.receive(timeout_s=20, most=1)
        subscription.retry(delivery, f"no good: {delivery.message.body.decode()}")
    subscription.close()


def numbers(command: Command) -> list[int]:
    return [item["number"] for item in json.loads(command("dead", "list", "--json")[1])["items"]]


def test_a_dead_letter_is_listed_shown_and_replayed(bus: Bus, command: Command) -> None:
    let_die(bus, b"one", b"two")

    code, out, _ = command("dead", "list")
    assert code == 0
    assert "no good: one" in out
    assert "no good: two" in out
    assert "2 dead letters." in out
    bodies = {command("dead", "show", str(number), "--body")[1]: number for number in numbers(command)}
    first, second = bodies["one"], bodies["two"]
    code, out, _ = command("dead", "show", str(first), "--json")
    shown = json.loads(out)
    assert (shown["group"], shown["type"], shown["attempts"]) == ("trade-service", "trade.confirmed", 5)

    code, out, _ = command("dead", "replay", str(first))

    assert (code, out) == (0, f"{first}: replayed (trade-service, trade.confirmed)\n")
    assert numbers(command) == [second]
    (delivery,) = bus.subscribe(TRADE_SERVICE.types, group=TRADE_SERVICE.name).receive(timeout_s=10)
    assert (delivery.message.body, delivery.attempt) == (b"one", 1)


def test_all_dead_letters_are_dropped_at_once(bus: Bus, command: Command) -> None:
    let_die(bus, b"one", b"two", b"three")

    code, out, _ = command("dead", "drop", "--all")

    assert (code, out.count("dropped")) == (0, 3)
    code, out, err = command("dead", "list")
    assert code == 0
    if bus.system == "rabbitmq":
        assert out == "No dead letters of trade-service, pricing-service.\n"
        assert "ingest spools were not looked at: --spool names one, WATTBOOK_BUS_MANAGEMENT_URL" in err
    else:
        assert (out, err) == ("No dead letters.\n", "")


def test_dead_letters_of_an_ingest_spool_are_found_or_said_not_to_be_looked_for(
    bus: Bus, command: Command
) -> None:
    spool = ingest_spool("one")
    let_die(bus, b"one", group=spool, kind="trade.refused")

    _, out, err = command("dead", "list", "--json")

    if bus.system == "rabbitmq":
        assert "ingest spools were not looked at" in err
        _, out, err = command("dead", "list", "--json", "--spool", "one")
        assert "ingest spools other than those named were not looked at" in err
        assert command("dead", "list", "--group", spool.name)[2] == ""
    assert [item["group"] for item in json.loads(out)["items"]] == [spool.name]


def test_what_another_is_looking_at_is_not_said_to_be_done(
    bus: Bus, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_die(bus, b"one", b"two")
    seen = bus.dead_letters(group=TRADE_SERVICE.name)
    taken = next(letter for letter in seen if letter.message.body == b"one")
    chosen = Operated.chosen

    def chosen_and_then_taken(operated: Operated, which: Sequence[int]) -> list[DeadLetter]:
        found = chosen(operated, which)
        bus.drop(taken)
        return found

    monkeypatch.setattr(Operated, "chosen", chosen_and_then_taken)

    code, out, err = command("dead", "replay", "--all")

    assert (code, out.count("replayed")) == (1, 1)
    assert f"{taken.id}: not replayed: dead letter {taken.id} is gone" in err


def test_one_says_which_are_meant_and_an_unknown_one_is_named(bus: Bus, command: Command) -> None:
    let_die(bus, b"one")

    assert command("dead", "drop") == (1, "", "wattbook: say which: one or more numbers, or --all\n")
    assert command("dead", "replay", "77") == (1, "", "wattbook: no dead letter has number 77\n")
    assert len(numbers(command)) == 1


def test_what_is_missing_is_said_and_made(bus: Bus, command: Command) -> None:
    bus.publish([Message(type="trade.confirmed", body=b"", occurred_at=WHEN)])

    code, _, err = command("bus", "check")
    assert code == 1
    assert "trade-service is missing" in err
    code, out, _ = command("bus", "declare")
    assert code == 0
    assert "trade-service" in out
    assert command("bus", "declare")[:2] == (0, "Nothing was missing.\n")

    code, out, err = command("bus", "check")

    assert code == 0
    if bus.system == "rabbitmq":
        assert "Nothing is missing of what was looked at." in out
        assert "bindings were not looked at" in err
        assert "ingest spools were not looked at" in err
    else:
        assert err == ""
        assert "Nothing is missing." in out


@pytest.mark.servers
def test_what_is_different_and_wrongly_bound_is_named(
    rabbitmq_server: Server, environment: dict[str, str], command: Command
) -> None:
    bus = on_rabbitmq(rabbitmq_server, environment)
    spool = ingest_spool("one")
    bus.declare([TRADE_SERVICE, spool])
    vhost = environment["WATTBOOK_BUS_URL"].rpartition("/")[2]
    environment["WATTBOOK_BUS_MANAGEMENT_URL"] = f"http://127.0.0.1:{rabbitmq_server.management_port}"
    rabbitmq_server.manage(
        "PUT", f"queues/{vhost}/wattbook.pricing-service", {"durable": True, "arguments": {}}
    )
    binding = f"bindings/{vhost}/e/wattbook/q/wattbook.{spool.name}"
    rabbitmq_server.manage("DELETE", f"{binding}/trade.refused")
    rabbitmq_server.manage("POST", binding, {"routing_key": "trade.booked"})

    code, out, err = command("bus", "check")

    assert code == 1
    assert "ingest-service.one" in out
    assert "queue wattbook.pricing-service is different: " in err
    assert "queue wattbook.ingest-service.one does not get 'trade.refused' of wattbook\n" in err
    assert "gets 'trade.booked' of wattbook, which nobody declared\n" in err
    assert "wattbook.trade-service" not in err
    bus.close()


def test_a_folder_without_a_bus_is_said_and_stays_as_it_is(command: Command, tmp_path: Path) -> None:
    code, _, err = command("bus", "check")

    assert code == 1
    assert "there is no bus in" in err
    assert list(tmp_path.iterdir()) == []


def test_a_bus_that_is_away_or_misspelt_is_one_line(command: Command, environment: dict[str, str]) -> None:
    environment["WATTBOOK_BUS_URL"] = "amqp://ops:hush@127.0.0.1:9/v"
    code, _, err = command("dead", "list")
    assert (code, err.count("\n"), "hush" in err) == (1, 1, False)
    assert "127.0.0.1:9 Connection refused" in err

    environment["WATTBOOK_BUS_URL"] = "amqp://ops:hush@127.0.0.1:9/v?colour=red"
    code, _, err = command("dead", "list")
    assert (code, err) == (1, "wattbook: WATTBOOK_BUS_URL: the bus has no option colour\n")
