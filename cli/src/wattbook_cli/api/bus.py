"""``wattbook bus`` and ``wattbook dead``."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from wattbook.bus import DeadLetter
from wattbook.clock import iso_z
from wattbook.errors import InvalidInput, NotFound

from wattbook_cli.api.tables import console, plain, table
from wattbook_cli.api.terminal import complain, counted, exact_json, say
from wattbook_cli.domain.stops import EXIT_FAILED, Stop
from wattbook_cli.usecases.bus import MANAGEMENT_URL, Operated, operated

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = click.IntRange(1)
_data = click.option(
    "--data", type=click.Path(path_type=Path), default="./data", show_default=True,
    help="The data folder whose bus is meant where WATTBOOK_BUS_URL names none.",
)  # fmt: skip
_spools = click.option(
    "--spool", "spools", multiple=True, help="The name of an ingest spool; may be given again."
)
_group = click.option("--group", default="", help="Only of this consumer group.")


@click.group()
def bus() -> None:
    """For who runs the bus that WATTBOOK_BUS_URL names."""


@bus.command()
@_data
@_spools
@click.pass_obj
def check(environment: Mapping[str, str], data: Path, spools: Sequence[str]) -> int:
    """Say what of the exchanges, queues and groups is missing or not as it must be.

    Ends with 0 where nothing is. WATTBOOK_BUS_MANAGEMENT_URL, the address of RabbitMQ's management, lets it
    look at bindings too, and find the ingest spools by itself.
    """
    with operated(environment, data=data, spools=spools) as found:
        differences = found.differences()
        made = table("Group", "Waiting", "Dead", figures=("Waiting", "Dead"))
        for name, depths in found.depths().items():
            made.add_row(name, f"{depths.waiting:,}", f"{depths.dead:,}")
        console().print(made)
        for line in differences:
            complain(f"wattbook: {line}")
        all_seen = _say_what_is_unseen(found, spools)
        if found.bus.system == "rabbitmq" and found.management is None:
            all_seen = False
            complain(f"wattbook: bindings were not looked at: {MANAGEMENT_URL} is not set")
    nothing = "Nothing is missing." if all_seen else "Nothing is missing of what was looked at."
    say(f"\n{counted(len(differences), 'difference')}." if differences else nothing)
    return EXIT_FAILED if differences else 0


@bus.command()
@_data
@_spools
@click.pass_obj
def declare(environment: Mapping[str, str], data: Path, spools: Sequence[str]) -> None:
    """Make the exchanges, queues and groups that are missing. Safe to run again."""
    with operated(environment, data=data, spools=spools) as found:
        made = found.bus.declare(found.groups)
    for name in made:
        say(f"made {name}")
    if not made:
        say("Nothing was missing.")


@click.group()
def dead() -> None:
    """Messages that kept failing: look, hand them to their group again, or let them go."""


@dead.command("list")
@_data
@_group
@_spools
@click.option("--limit", type=_NUMBER, default=50, show_default=True, help="At most so many, oldest first.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_obj
def list_all(
    environment: Mapping[str, str], data: Path, group: str, spools: Sequence[str], limit: int, as_json: bool
) -> None:
    """List dead letters."""
    with operated(environment, data=data, group=group, spools=spools) as found:
        letters = found.dead_letters(most=limit)
        groups = ", ".join(each.name for each in found.groups)
        all_seen = _say_what_is_unseen(found, spools)
    if as_json:
        say(exact_json({"items": [_fields(letter) for letter in letters]}))
        return
    made = table("Number", "Died", "Group", "Type", "Why", figures=("Number",))
    for letter in letters:
        died, why = iso_z(letter.died_at)[:19] + "Z", plain(letter.reason)
        made.add_row(str(letter.id), died, letter.group, letter.message.type, why)
    if letters:
        console().print(made)
    none = "No dead letters." if all_seen else f"No dead letters of {groups}."
    say(f"{counted(len(letters), 'dead letter')}." if letters else none)


@dead.command()
@click.argument("number", type=_NUMBER)
@_data
@_group
@_spools
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--body", is_flag=True, help="Only the body, byte for byte: protobuf of events.proto.")
@click.pass_obj
def show(
    environment: Mapping[str, str],
    number: int,
    data: Path,
    group: str,
    spools: Sequence[str],
    as_json: bool,
    body: bool,
) -> None:
    """Show one, with its body."""
    with operated(environment, data=data, group=group, spools=spools) as found:
        (letter,) = found.chosen([number])
    if body:
        sys.stdout.buffer.write(letter.message.body)
    elif as_json:
        say(exact_json(_fields(letter)))
    else:
        made = table("", "")
        made.show_header = False
        for name, value in _fields(letter).items():
            made.add_row(name, plain(str(value)))
        console().print(made, soft_wrap=True)


def _decides(command: F) -> F:
    """The arguments of ``replay`` and ``drop``."""
    for option in (
        _spools,
        _group,
        _data,
        click.option("--all", "everything", is_flag=True, help="All of them, oldest first."),
        click.argument("numbers", metavar="NUMBER…", nargs=-1, type=_NUMBER),
    ):
        command = option(command)
    return command


@dead.command()
@_decides
@click.pass_obj
def replay(
    environment: Mapping[str, str], /, *, numbers: Sequence[int], everything: bool, **where: Any
) -> int:
    """Hand them to their group again, as if for the first time. Ends with 1 where one could not be."""
    with operated(environment, **where) as found:
        if everything:
            _say_what_is_unseen(found, where["spools"])
        return _each(found.chosen, numbers, everything, found.bus.replay, done="replayed")


@dead.command()
@_decides
@click.pass_obj
def drop(environment: Mapping[str, str], /, *, numbers: Sequence[int], everything: bool, **where: Any) -> int:
    """Forget them; there is no way back. Ends with 1 where one could not be."""
    with operated(environment, **where) as found:
        if everything:
            _say_what_is_unseen(found, where["spools"])
        return _each(found.chosen, numbers, everything, found.bus.drop, done="dropped")


def _say_what_is_unseen(found: Operated, spools: Sequence[str]) -> bool:
    """Say it where groups of ingest spools may have been passed over; whether all were seen."""
    if not found.knows_all:
        which = "ingest spools other than those named" if spools else "ingest spools"
        complain(f"wattbook: {which} were not looked at: --spool names one, {MANAGEMENT_URL} finds all")
    return found.knows_all


def _each(
    chosen: Callable[[Sequence[int]], Sequence[DeadLetter]],
    numbers: Sequence[int],
    everything: bool,
    act: Callable[[DeadLetter], None],
    *,
    done: str,
) -> int:
    if bool(numbers) == everything:
        raise Stop("say which: one or more numbers, or --all")
    letters, failed = chosen(numbers), 0
    for letter in letters:
        try:
            act(letter)
        except (NotFound, InvalidInput) as error:  # this one; the others still can be
            failed += 1
            complain(f"wattbook: {letter.id}: not {done}: {error.message}")
        else:
            say(f"{letter.id}: {done} ({letter.group}, {letter.message.type})")
    if not letters:
        say("No dead letters.")
    return EXIT_FAILED if failed else 0


def _fields(letter: DeadLetter) -> dict[str, Any]:
    message = letter.message
    return {
        "number": letter.id,
        "group": letter.group,
        "type": message.type,
        "version": message.version,
        "id": message.id,
        "occurred": iso_z(message.occurred_at),
        "died": iso_z(letter.died_at),
        "attempts": letter.attempts,
        "reason": letter.reason,
        "trace": message.traceparent,
        "body_base64": base64.b64encode(message.body).decode(),
    }
