"""``wattbook migrate``, ``wattbook db restored``: every service works on its own store, in a process each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from wattbook_cli.domain.desk import STORES, Layout, store_variable
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.folder import make_folder

_TIMEOUT_S = 900.0


def migrate_stores(
    names: Sequence[str], *, data: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Bring the stores of these names up to date, those that the environment names or a data folder's own.

    Raises:
        Stop: one could not be; those before it are done.
    """
    layout = Layout(data.absolute(), chosen=environment)
    if any(layout.store_url(name).startswith("sqlite:") for name in names):
        make_folder(layout)
    for name in names:
        say(_worked(name, "migrate", layout=layout, environment=environment))


def tell_restored(
    names: Sequence[str],
    since: str,
    *,
    data: Path,
    environment: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Let services make good that stores went back to what they were at ``since``.

    Raises:
        Stop: one could not; those before it are done.
    """
    layout = Layout(data.absolute(), chosen=environment)
    for name in names:
        say(_worked(name, "restored", since, layout=layout, environment=environment))


def _worked(name: str, *words: str, layout: Layout, environment: Mapping[str, str]) -> str:
    package = STORES[name].replace("-", "_")
    if find_spec(package) is None:
        raise Stop(f"{STORES[name]} is not installed here; --only NAME migrates others")
    told = {**environment, store_variable(name): layout.store_url(name), "PYTHONSAFEPATH": "1"}
    try:
        done = subprocess.run(  # noqa: S603  # our own module
            [sys.executable, "-m", f"{package}.app", *words],
            env=told,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Stop(f"{name}: it took longer than {_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise Stop(" ".join((done.stderr or done.stdout).split()) or f"{name}: status {done.returncode}")
    return done.stdout.strip()
