"""Every ``wattbook …`` that the documents show is a command with such options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from wattbook_cli.app import wattbook

ROOT = Path(__file__).parents[3]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
# In words between backticks, or in an indented block; `docker compose run --rm bus …` is the command, too.
CODE = re.compile(r"`([^`\n]+)`|(?m:^ {4}(.+)$)")
COMMAND = re.compile(r"(?<!-n )(?<!namespace )(?<![\w-])(?:wattbook|run --rm bus) (?=[a-z-])([^|>#;&]*)")


def shown(text: str) -> list[str]:
    """What follows ``wattbook`` in each command of a document."""
    fragments = (found[1] or found[2] for found in CODE.finditer(text))
    return [found[1].strip() for each in fragments for found in COMMAND.finditer(each)]


def parsed(arguments: list[str]) -> None:
    """Nothing, where the command understands them.

    Raises:
        click.UsageError: it does not.
    """
    command: click.Command = wattbook
    while isinstance(command, click.Group):
        if not arguments:
            return  # a group, named as such
        name, *arguments = arguments
        found = command.get_command(click.Context(command), name)
        if found is None:
            raise click.UsageError(f"no command {name}")
        command = found
    given, _, _ = command.make_parser(click.Context(command, **command.context_settings)).parse_args(
        arguments
    )
    for parameter in command.params:
        if isinstance(parameter.type, click.Choice):
            values = given.get(parameter.name or "") or ()
            for value in (values,) if isinstance(values, str) else values:
                parameter.type.convert(value, parameter, None)


def commands() -> list[tuple[str, str]]:
    return [(file.name, each) for file in DOCUMENTS for each in shown(file.read_text())]


@pytest.mark.parametrize(("file", "command"), sorted(set(commands())))
def test_a_command_in_the_documents_is_one(file: str, command: str) -> None:
    parsed(shlex.split(command))


@pytest.mark.parametrize(
    "text",
    [
        "see `wattbook users add ana --trader x`",
        "    wattbook nothing",
        "`docker compose run --rm bus dead lists`",
        "`kubectl exec -it job/ops -- wattbook bus check --all`",
        "`wattbook users add ana --role king`",
    ],
)
def test_one_that_is_none_is_found(text: str) -> None:
    (command,) = shown(text)

    with pytest.raises(click.UsageError):
        parsed(shlex.split(command))


def test_a_namespace_is_no_command() -> None:
    assert shown("`kubectl -n wattbook get pods`, `kubectl create namespace wattbook`") == []


def test_documents_show_many() -> None:
    assert len(commands()) > 40
