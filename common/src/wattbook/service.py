"""One runner for every process: settings, logs, telemetry, signals, parts started and stopped in order.

A service's ``app.py`` has its ``Settings``, a ``build`` that lists its parts as an :class:`App`, and
``main = Service(NAME, Settings, build).main``. Nothing here imports gRPC or a database by itself: the master
process of report-service must have neither.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

from wattbook.clock_settings import ClockSettings
from wattbook.errors import WattbookError
from wattbook.process import (
    EXIT_BAD_SETTINGS,
    DrainSettings,
    ProcessSettings,
    keep_what_is_made,
    leave,
    load_settings_or_exit,
    shut_down,
    start_telemetry,
    stop_on_signals,
    stop_with_parent,
    wait_for_stop,
)
from wattbook.settings import SettingsError
from wattbook.telemetry import configure_logging
from wattbook.walls import WallSettings

if TYPE_CHECKING:
    from wattbook import rpc
    from wattbook.bus import Bus
    from wattbook.db import Store
    from wattbook.db.command import Restored
    from wattbook.outbox import Relay

_log = logging.getLogger(__name__)

# Else they write a line for each call, and some for each start; what the last two raise is logged by who
# catches it.
_QUIET = {
    "alembic": logging.WARNING,
    "authlib": logging.WARNING,
    "connexion": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "watchdog": logging.CRITICAL,
    "websockets": logging.CRITICAL,
}


@dataclass(frozen=True, kw_only=True)
class ServiceSettings(ProcessSettings, ClockSettings, WallSettings, DrainSettings):
    """Base of every service's settings; one that checks more of them extends :meth:`problems`."""

    def __post_init__(self) -> None:
        """Refuse what would only fail later.

        Raises:
            SettingsError: names each variable.
        """
        if problems := self.problems():
            raise SettingsError(problems)

    def problems(self) -> list[str]:
        """What is wrong with them, a line each; names the variable."""
        return self.clock_problems() + self.drain_problems()


S = TypeVar("S", bound=ServiceSettings)
P = TypeVar("P", bound=ProcessSettings)


class Part(Protocol):
    """What runs in the background: a consumer, a poller, a committer."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """Finish what was taken, and end."""
        ...


@dataclass(frozen=True, kw_only=True)
class App:
    """What a service has, wired; what it has not is left out.

    ``parts`` start in their order and stop in the other one. ``closing`` is called once they have stopped.
    ``serve`` answers HTTP at ``address`` in the main thread until the event is set. ``ready`` False: a part
    says when gRPC callers may come. ``failed`` says that a part ended by itself, so that the process must.
    """

    store: Store | None = None
    bus: Bus | None = None
    relay: Relay | None = None
    server: rpc.Server | None = None
    ready: bool = True
    parts: Sequence[Part] = ()
    closing: Sequence[Callable[[], None]] = ()
    serve: Callable[[threading.Event], None] | None = None
    address: str = ""
    failed: Callable[[], bool] = lambda: False

    def start(self) -> int:
        """Serve gRPC and begin all else; the port, 0 without gRPC.

        Raises:
            OSError: the address is in use.
        """
        port = self.server.start() if self.server else 0
        for part in (self.relay, *self.parts):
            if part:
                part.start()
        if self.server and self.ready:
            self.server.set_ready()
        return port

    def stop(self) -> None:
        """Take nothing more, finish what was taken, publish it, let go."""
        stopped = (self.server, *reversed(self.parts), self.relay)
        closed = (self.bus, self.store)
        shut_down(
            *(each.stop for each in stopped if each), *self.closing, *(each.close for each in closed if each)
        )


class Build(Protocol[S]):  # type: ignore[misc]  # settings are only taken
    """A service's ``build``: everything wired, its store at the newest schema, nothing running."""

    def __call__(self, settings: S, /, *, stopping: threading.Event) -> App:
        """The parts; what waits for something ends waiting once ``stopping`` is set.

        Raises:
            WattbookError: a store or a bus cannot be opened.
            OSError: an address is in use.
            ValueError: an address, a file or a key in the settings is of no use.
        """
        ...


@dataclass(frozen=True)
class Service(Generic[S]):
    """A process: its name, its settings and how it is built.

    ``restored`` is for after a restore of its store (see :mod:`wattbook.db.command`); ``tune`` is called once
    all is started.
    """

    name: str
    settings: type[S]
    build: Build[S]
    restored: Restored | None = None
    tune: Callable[[], object] = lambda: None

    def main(self) -> NoReturn:
        """Run until SIGTERM or SIGINT. Arguments: see :mod:`wattbook.db.command`.

        The exit status is 0 after a stop, 78 for a wrong setting, 1 for all else.
        """
        self._maintain_if_asked(sys.argv[1:], os.environ)
        settings = prepared(self.name, self.settings, os.environ)
        stopping = stop_on_signals()
        exporting = start_telemetry(self.name, os.environ)
        if settings.stop_with_parent:
            stop_with_parent(stopping)
        try:
            app = self.build(settings, stopping=stopping)
            port = app.start()
        except ValueError as error:  # an address that nothing here knows
            print(f"setting: {error}", file=sys.stderr)
            sys.exit(EXIT_BAD_SETTINGS)
        except (OSError, WattbookError) as error:
            sys.exit(f"{self.name}: {error}")
        keep_what_is_made()
        self.tune()
        _log.info("listening", extra={"address": app.address} if app.address else {"port": port})
        if app.serve:
            app.serve(stopping)
        else:
            wait_for_stop(stopping, failed=app.failed)
        _log.info("stopping")
        shut_down(app.stop, exporting.stop)
        leave(1 if app.failed() else 0)

    def _maintain_if_asked(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        variables = {field.name: field.metadata["env"] for field in fields(self.settings)}
        if arguments and "store_url" in variables:
            from wattbook.db import maintain_if_asked

            maintain_if_asked(
                arguments, environment, store_url=variables["store_url"],
                name=self.name.removesuffix("-service"), package=self.name.replace("-", "_"),
                restored=self.restored,
            )  # fmt: skip


def prepared(name: str, kind: type[P], environment: Mapping[str, str]) -> P:
    """The settings of process ``name``, with logs configured by them; or an exit with status 78."""
    settings = load_settings_or_exit(kind, environment)
    configure_logging(name, level=settings.log_level, json_lines=settings.log_json)
    for logger, level in _QUIET.items():
        logging.getLogger(logger).setLevel(level)
    return settings
