"""Typed, frozen settings, complete at start.

A service declares a frozen dataclass whose fields are made by :func:`setting` and loads it once, in
``app.py``, the only reader of the environment. Whatever is missing or wrong stops the start, all of it
named at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
_MISSING = dataclasses.MISSING

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]


class SettingsError(Exception):
    """The environment does not make complete settings; ``problems`` names each variable and why."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the problems, one line each."""
        super().__init__("; ".join(problems))
        self.problems = problems


def setting(env: str, help: str, *, default: Any = _MISSING, secret: bool = False) -> Any:
    """A settings field read from the variable ``env``; without a default it is required.

    ``secret`` keeps it out of ``repr`` and so out of logs.
    """
    metadata = {"env": env, "help": help, "secret": secret}
    if default is _MISSING:
        return dataclasses.field(metadata=metadata, repr=not secret)
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


def load(kind: type[T], environment: Mapping[str, str]) -> T:
    """Settings of ``kind`` (a frozen dataclass of :func:`setting` fields) from an environment.

    An empty variable counts as not set. Types: str, int, float, Decimal, bool, Path, tuple[str, ...]
    (comma-separated), Literal[...] of strings; numbers are finite.

    Raises:
        SettingsError: a required variable is missing, or one does not parse.
    """
    hints = get_type_hints(kind)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # T is a dataclass by contract
        env = field.metadata["env"]
        given = environment.get(env, "")
        text = given if field.metadata["secret"] else given.strip()  # a password may begin with a space
        if not given.strip():
            if field.default is _MISSING:
                problems.append(f"{env} is not set ({field.metadata['help']})")
            continue
        try:
            values[field.name] = _parse(hints[field.name], text)
        except ValueError as error:
            shown = "its value" if field.metadata["secret"] else repr(text)
            problems.append(f"{env}: {shown} {error}")
    if problems:
        raise SettingsError(problems)
    return kind(**values)


def _parse(hint: Any, text: str) -> Any:
    if get_origin(hint) is Literal:
        return _one_of(get_args(hint), text)
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if options:  # X | None
        return _parse(options[0], text)
    parser = _PARSERS.get(hint)
    if parser is None:
        raise TypeError(f"settings cannot be of type {hint}")
    return parser(text)


def _one_of(choices: tuple[str, ...], text: str) -> str:
    found = next((choice for choice in choices if choice.lower() == text.lower()), None)
    if found is None:
        raise ValueError(f"is none of {', '.join(choices)}")
    return found


def _bool(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off"}:
        return False
    raise ValueError("is neither true nor false")


def _number(kind: Callable[[str], Any], name: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except (ValueError, InvalidOperation):
            raise ValueError(f"is not {name}") from None
        if not math.isfinite(value):
            raise ValueError(f"is not {name}")
        return value

    return parse


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    Path: Path,
    bool: _bool,
    int: _number(int, "a whole number"),
    float: _number(float, "a number"),
    Decimal: _number(Decimal, "a decimal number"),
}
