"""Showing what services warn of, without drowning anybody in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from wattbook.clock import Clock

from wattbook_cli.store.logs import Notice

_SAME_AGAIN_S = 30.0
_MOST_KEPT = 200
_MOST_LENGTH = 200


class Notices:
    """Shows each warning of a service once, then again only after a while, with how often it came."""

    def __init__(self, *, say: Callable[[str], None], clock: Clock) -> None:
        """``say`` shows one line."""
        self._say = say
        self._clock = clock
        self._shown_s: dict[tuple[str, str], float] = {}
        self._held_back: dict[tuple[str, str], int] = {}

    def show(self, service: str, notices: Iterable[Notice]) -> None:
        """Show the new ones."""
        for notice in notices:
            self._show_one(service, notice)

    def _show_one(self, service: str, notice: Notice) -> None:
        key, now_s = (service, notice.message), self._clock.monotonic_s()
        last_s = self._shown_s.get(key)
        if last_s is not None and now_s - last_s < _SAME_AGAIN_S:
            self._held_back[key] = self._held_back.get(key, 0) + 1
            return
        if len(self._shown_s) >= _MOST_KEPT:
            self._shown_s.clear()
            self._held_back.clear()
        self._shown_s[key] = now_s
        again = self._held_back.pop(key, 0)
        more = f" ({again} more of these)" if again else ""
        self._say(f"{notice.level}: {service}: {notice.message[:_MOST_LENGTH]}{more}")
