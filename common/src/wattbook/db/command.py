"""``python -m <package>.app migrate``: change a service's schema and end, as a job before an update does."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence

from wattbook.db.migrations import migrate
from wattbook.db.settings import StoreSettings
from wattbook.db.store import open_store
from wattbook.errors import Unavailable
from wattbook.process import EXIT_BAD_SETTINGS
from wattbook.settings import SettingsError, load

WORD = "migrate"
EXIT_USAGE = 64  # EX_USAGE of sysexits.h


def migrate_if_asked(
    arguments: Sequence[str], environment: Mapping[str, str], *, store_url: str, name: str, package: str
) -> None:
    """Return where there are no ``arguments``; with ``migrate`` do that, say what was done, and exit.

    Of the environment only the variable ``store_url`` and the limits of stores are read. The exit status
    is 0 done, 1 not now, 64 for other arguments, 78 for a wrong setting.
    """
    if not arguments:
        return
    if list(arguments) != [WORD]:
        print(f"usage: python -m {package}.app [{WORD}]", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        url = environment.get(store_url, "").strip()
        if not url:
            raise SettingsError([f"{store_url} is not set (the store of {name})"])
        store = open_store(url, name=name, settings=load(StoreSettings, environment))
    except (SettingsError, ValueError) as error:
        problems = error.problems if isinstance(error, SettingsError) else [str(error)]
        print("\n".join(f"setting: {problem}" for problem in problems), file=sys.stderr)
        sys.exit(EXIT_BAD_SETTINGS)
    except Unavailable as error:
        sys.exit(f"{name}: {error}")
    try:
        done = migrate(store, package)
    except Unavailable as error:
        sys.exit(f"{name}: {error}")
    finally:
        store.close()
    changed = f"from {done.before or 'nothing'} to" if done.before != done.after else "was already at"
    print(f"{name}: the schema {changed} {done.after}")
    sys.exit(0)
