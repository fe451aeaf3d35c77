"""Listing trades, page after page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from wattbook_cli.clients.gateway import Gateway

_PAGE = 10_000


def list_trades(
    gateway: Gateway, *, query: Mapping[str, str | None], limit: int | None
) -> Iterator[dict[str, Any]]:
    """Up to ``limit`` trades, all of them where that is ``None``; memory holds one page.

    Raises:
        Stop: the gateway refuses or does not answer.
    """
    page = _PAGE if limit is None else min(limit, _PAGE)
    pages = gateway.pages("/v1/trades", query={**query, "limit": str(page)})
    return islice((trade for found in pages for trade in found), limit)
