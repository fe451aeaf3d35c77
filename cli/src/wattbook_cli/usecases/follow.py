"""Asking for the same figures again and again, at the price of asking whether they changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wattbook_cli.clients.gateway import Gateway, exact


class Follow:
    """One question whose answer changes; the last answer is kept with its tag."""

    def __init__(self, gateway: Gateway, path: str, *, query: Callable[[], Mapping[str, str | None]]) -> None:
        """Ask for ``path``; ``query`` is worked out each time, since *today* moves on."""
        self._gateway = gateway
        self._path = path
        self._query = query
        self._asked: Mapping[str, str | None] = {}
        self._tag = ""
        self._answer: dict[str, Any] = {}

    def newest(self) -> dict[str, Any]:
        """The answer as of now, decimals exact.

        Raises:
            TryLater: there is none at the moment.
            Stop: the gateway refuses.
        """
        query = self._query()
        tag = self._tag if query == self._asked else ""
        answer = self._gateway.ask("GET", self._path, query=query, known_tag=tag)
        if answer.content:
            self._asked, self._tag = query, answer.headers.get("ETag", "")
            self._answer = exact(answer.text)
        return self._answer
