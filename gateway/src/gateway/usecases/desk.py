"""The desk's report: formatted once a version, like :mod:`gateway.usecases.reports`."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wattbook.access import Principal
from wattbook.periods import DEFAULT_AREA

from gateway.clients import ReportsClient
from gateway.usecases.threads import Pool

MOST_KEPT = 64
MOST_ROWS_AT_ONCE = 20  # more are formatted in a thread


@dataclass(frozen=True, slots=True)
class RenderedDesk:
    """The desk's day in both its forms, and the version that both have."""

    version: str
    json: bytes
    csv: bytes


class DeskReports:
    """A line a trader, for desk users."""

    def __init__(
        self, client: ReportsClient, render: Callable[[str, Any], RenderedDesk], formatting: Pool
    ) -> None:
        """Ask ``client``, format with ``render`` (delivery day, answer), long ones in ``formatting``."""
        self._client = client
        self._render = render
        self._formatting = formatting
        self._kept: OrderedDict[tuple[str, str], RenderedDesk] = OrderedDict()

    async def desk(self, asker: Principal, *, delivery_day: dt.date, area: str) -> RenderedDesk:
        """All traders' figures of a day.

        Raises:
            Forbidden: not the asker's to see.
            InvalidInput: there is no such day or area.
        """
        asker.require_desk()
        key = (area or DEFAULT_AREA, delivery_day.isoformat())
        kept = self._kept.get(key)
        reply = await self._client.desk(
            asker, area=key[0], delivery_day=key[1], known_version=kept.version if kept else ""
        )
        if kept is not None and reply.unchanged:
            return kept
        kept = self._kept.get(key)
        if kept is not None and kept.version == reply.version:
            return kept  # somebody who asked at the same time was here first
        if len(reply.rows) > MOST_ROWS_AT_ONCE:
            rendered = await self._formatting.run(self._render, key[1], reply)
        else:
            rendered = self._render(key[1], reply)
        return self._keep(key, rendered)

    def _keep(self, key: tuple[str, str], rendered: RenderedDesk) -> RenderedDesk:
        self._kept[key] = rendered
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return rendered
