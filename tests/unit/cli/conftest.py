"""The command as a person runs it: a process, or for speed the same function in this one."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from wattbook_cli.app import run

from tests.unit.cli.fakes import FakeGateway, serving

Wattbook = Callable[..., "Done"]


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


@pytest.fixture
def gateway() -> Iterator[FakeGateway]:
    with serving() as fake:
        yield fake


@pytest.fixture
def wattbook(
    gateway: FakeGateway, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Wattbook:  # fmt: skip
    """Run the command in this process, off a terminal, against the stood-in gateway, as its admin."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: str = "", **environment: str | None) -> Done:
        known = {
            "WATTBOOK_URL": gateway.url, "WATTBOOK_USER": "admin", "WATTBOOK_PASSWORD": "right",
            "XDG_CONFIG_HOME": str(tmp_path / "config"), **environment,
        }  # fmt: skip
        said = tmp_path / "stdin"
        said.write_text(stdin)
        capfdbinary.readouterr()
        with said.open() as given:
            monkeypatch.setattr(sys, "stdin", given)
            code = run(arguments, {name: value for name, value in known.items() if value is not None})
        sys.stdout.flush()
        captured = capfdbinary.readouterr()
        return Done(code, captured.out.decode(), captured.err.decode())

    return call


def process(*arguments: str, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WATTBOOK_")}
    return subprocess.run(
        [sys.executable, "-m", "wattbook_cli", *arguments], cwd=cwd, env={**kept, **environment},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
