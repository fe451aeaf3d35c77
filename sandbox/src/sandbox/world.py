"""Settings that all simulated worlds share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from wattbook.clock_settings import ClockSettings
from wattbook.errors import InvalidInput
from wattbook.process import ProcessSettings
from wattbook.settings import SettingsError, setting

from sandbox.hosting import address_of, is_loopback

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class WorldSettings(ProcessSettings, ClockSettings):
    """The process, the clock and chance; every process of a run gets the same clock settings."""

    seed: int = setting("WATTBOOK_SANDBOX_SEED", "what chance follows", default=1)


def complain(*problems: str | None) -> None:
    """Stop the start if anything is wrong.

    Raises:
        SettingsError: there is at least one problem.
    """
    found = [problem for problem in problems if problem]
    if found:
        raise SettingsError(found)


def choice_problem(env: str, value: T, choices: tuple[T, ...]) -> str | None:
    """What is wrong with a setting that is one of a few words."""
    return None if value in choices else f"{env}: {value!r} is none of {', '.join(map(str, choices))}"


def range_problem(env: str, value: float, low: float, high: float) -> str | None:
    """What is wrong with a number that has limits."""
    return None if low <= value <= high else f"{env}: {value:g} is not in {low:g}…{high:g}"


def listen_problem(env: str, listen: str, *, loopback: bool = False) -> str | None:
    """What is wrong with an address to listen on; a control endpoint must stay on this machine."""
    problem = trouble(env, lambda: address_of(listen))
    if problem is None and loopback and not is_loopback(listen):
        return f"{env}: {listen!r} is not a loopback address"
    return problem


def trouble(env: str, attempt: Callable[[], object]) -> str | None:
    """What an attempt to use a setting says is wrong with it."""
    try:
        attempt()
    except (ValueError, OverflowError, InvalidInput) as error:
        return f"{env}: {error}"
    return None
