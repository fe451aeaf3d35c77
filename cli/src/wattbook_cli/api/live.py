"""``wattbook report --live``: figures that are refreshed in place until Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from wattbook.clock import Clock

from wattbook_cli.api.performance import WIDE, View, performance
from wattbook_cli.api.tables import console
from wattbook_cli.domain.stops import TryLater
from wattbook_cli.usecases.follow import Follow

_EVERY_S = 1.0
_SLOWER_S = 2.0


def show_performance(follow: Follow, *, wide: bool, clock: Clock) -> None:
    """Show the figures once, or on a terminal until Ctrl-C.

    Raises:
        Stop: the gateway refuses; what may pass is waited for once there are figures to show.
    """
    shown = console()
    if not shown.is_terminal:
        if wide:
            shown.width = max(shown.width, WIDE)
        shown.print(performance(follow.newest(), View(wide, clock.now())))
        return
    report = follow.newest()
    with Live(console=shown, auto_refresh=False) as live:
        _refresh(live, report, follow, lambda: View(wide, clock.now(), shown.width, shown.height))


def _refresh(live: Live, report: dict[str, Any], follow: Follow, view: Callable[[], View]) -> None:
    pause = threading.Event()
    trouble = ""
    try:
        while True:
            live.update(_with_line(report, view(), trouble, live.console), refresh=True)
            pause.wait(_SLOWER_S if trouble else _EVERY_S)
            try:
                report, trouble = follow.newest(), ""
            except TryLater as later:  # what was shown stays, and says that it is old
                trouble = later.message
    except KeyboardInterrupt:
        live.update(performance(report, view()), refresh=True)


def _with_line(report: dict[str, Any], view: View, trouble: str, shown: Console) -> Group:
    line = Text("Refreshed every second; Ctrl-C ends", style="dim")
    if trouble:
        line = Text(f"Not refreshed now: {trouble}", style="yellow")
        line.truncate(shown.width, overflow="ellipsis")
    return Group(performance(report, view), Text(), line)
