"""Settings are complete at the start, or the start is refused and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from wattbook.process import EXIT_BAD_SETTINGS
from wattbook.settings import LogLevel, SettingsError, load, setting


@dataclass(frozen=True)
class Example:
    url: str = setting("X_URL", "where it is")
    key: str = setting("X_KEY", "signs things", secret=True)
    pin: int = setting("X_PIN", "a secret number", secret=True, default=0)
    wait_s: float = setting("X_WAIT_S", "how long", default=1.5)
    price: Decimal = setting("X_PRICE", "a price", default=Decimal("0.1"))
    strict: bool = setting("X_STRICT", "whether", default=False)
    color: bool | None = setting("X_COLOR", "unset = automatic", default=None)
    folder: Path = setting("X_FOLDER", "a folder", default=Path("here"))
    names: tuple[str, ...] = setting("X_NAMES", "some names", default=())
    level: LogLevel = setting("X_LEVEL", "how much", default="INFO")


COMPLETE = {"X_URL": "sqlite:///x", "X_KEY": " spaces matter "}


def test_what_is_not_given_has_its_default() -> None:
    loaded = load(Example, {**COMPLETE, "X_WAIT_S": "", "X_STRICT": "  "})

    assert loaded == Example(url="sqlite:///x", key=" spaces matter ")


def test_everything_given_is_parsed_to_its_type() -> None:
    given = {
        "X_WAIT_S": " 2.5 ", "X_PRICE": "0.30", "X_STRICT": "Yes", "X_COLOR": "off", "X_FOLDER": "a/b",
        "X_NAMES": "a, b,,c ", "X_LEVEL": "debug", "X_PIN": "7",
    }  # fmt: skip

    loaded = load(Example, {**COMPLETE, **given})

    assert (loaded.wait_s, loaded.price, loaded.strict, loaded.color) == (2.5, Decimal("0.30"), True, False)
    assert (loaded.folder, loaded.names, loaded.level, loaded.pin) == (
        Path("a/b"),
        ("a", "b", "c"),
        "DEBUG",
        7,
    )


def test_every_missing_and_wrong_variable_is_named_at_once() -> None:
    wrong = {
        "X_WAIT_S": "soon", "X_PRICE": "NaN", "X_STRICT": "perhaps", "X_LEVEL": "loud", "X_PIN": "12a",
        "X_KEY": " ",
    }  # fmt: skip

    with pytest.raises(SettingsError) as caught:
        load(Example, wrong)

    assert caught.value.problems == [
        "X_URL is not set (where it is)",
        "X_KEY is not set (signs things)",
        "X_PIN: its value is not a whole number",
        "X_WAIT_S: 'soon' is not a number",
        "X_PRICE: 'NaN' is not a decimal number",
        "X_STRICT: 'perhaps' is neither true nor false",
        "X_LEVEL: 'loud' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL",
    ]


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="X_WAIT_S"):
        load(Example, {**COMPLETE, "X_WAIT_S": text})


def test_secrets_are_not_shown() -> None:
    loaded = load(Example, {"X_URL": "u", "X_KEY": "geheim", "X_PIN": "4711"})

    assert "geheim" not in repr(loaded)
    assert "4711" not in repr(loaded)


def test_a_service_with_bad_settings_says_so_and_exits_with_78() -> None:
    program = (
        "from dataclasses import dataclass\n"
        "from wattbook.process import load_settings_or_exit\n"
        "from wattbook.settings import setting\n"
        "@dataclass(frozen=True)\n"
        "class S:\n"
        "    url: str = setting('X_URL', 'where it is')\n"
        "    n: int = setting('X_N', 'how many')\n"
        "load_settings_or_exit(S, {'X_N': 'two'})\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30
    )

    assert ended.returncode == EXIT_BAD_SETTINGS == 78
    assert (
        ended.stderr == "setting: X_URL is not set (where it is)\nsetting: X_N: 'two' is not a whole number\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "gateway.app",
        "trade_service.app",
        "ingest_service.app",
        "pricing_service.app",
        "report_service.app",
        "sandbox.exchange",
        "sandbox.market_data",
    ],
)
def test_every_process_refuses_a_level_of_logs_that_there_is_not_and_names_the_variable(module: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module], env={**os.environ, "WATTBOOK_LOG_LEVEL": "LOUD"},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    said = "setting: WATTBOOK_LOG_LEVEL: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR, CRITICAL"
    assert ended.returncode == EXIT_BAD_SETTINGS
    assert said in ended.stderr.splitlines()  # among what else is missing
