"""``python -m <package>.app migrate`` or ``restored INSTANT``: work on a service's store, and end."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from wattbook.db.migrations import migrate
from wattbook.db.settings import StoreSettings
from wattbook.db.store import Store, open_store
from wattbook.errors import Unavailable
from wattbook.process import EXIT_BAD_SETTINGS
from wattbook.settings import SettingsError, load

EXIT_USAGE = 64  # EX_USAGE of sysexits.h

Restored = Callable[[Store, datetime], str]
"""Makes good what a restored store, or what the others lost, asks for; says what was done in one line."""


def maintain_if_asked(
    arguments: Sequence[str], environment: Mapping[str, str], *, store_url: str, name: str, package: str,
    restored: Restored | None = None,
) -> None:  # fmt: skip
    """Return where there are no ``arguments``; with ``migrate`` or ``restored INSTANT`` do that and exit.

    ``restored`` is for after a restore to the state of that instant. Of the environment only the variable
    ``store_url`` and the limits of stores are read. The exit status is 0 done, 1 not now, 64 for other
    arguments, 78 for a wrong setting.
    """
    if not arguments:
        return
    work = _work(arguments, name=name, package=package, restored=restored)
    if work is None:
        print(f"usage: python -m {package}.app [migrate | restored 2026-11-28T21:00:00Z]", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        store = _opened(environment, store_url, name=name)
    except (SettingsError, ValueError) as error:
        problems = error.problems if isinstance(error, SettingsError) else [str(error)]
        print("\n".join(f"setting: {problem}" for problem in problems), file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    except Unavailable as error:
        sys.exit(f"{name}: {error}")
    try:
        said = work(store)
    except Unavailable as error:
        sys.exit(f"{name}: {error}")
    finally:
        store.close()
    print(f"{name}: {said}")
    sys.exit(0)


def _work(
    arguments: Sequence[str], *, name: str, package: str, restored: Restored | None
) -> Callable[[Store], str] | None:
    match list(arguments):
        case ["migrate"]:
            return lambda store: _migrated(store, package)
        case ["restored", instant]:
            try:
                since = datetime.fromisoformat(instant)
            except ValueError:
                return None
            if since.tzinfo is None:
                return None
            if restored is None:
                return lambda _store: "nothing to do"
            return lambda store: restored(store, since)
    return None


def _opened(environment: Mapping[str, str], store_url: str, *, name: str) -> Store:
    url = environment.get(store_url, "").strip()
    if not url:
        raise SettingsError([f"{store_url} is not set (the store of {name})"])
    return open_store(url, name=name, settings=load(StoreSettings, environment))


def _migrated(store: Store, package: str) -> str:
    done = migrate(store, package)
    changed = f"from {done.before or 'nothing'} to" if done.before != done.after else "was already at"
    return f"the schema {changed} {done.after}"
