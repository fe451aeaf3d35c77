"""``/feed``, ``/quarantine`` and ``/reconciliations``: what the exchange sent, and what became of it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from wattbook.errors import InvalidInput
from wattbook.trade.statement import decode, refuse_repeated_keys
from wattbook.units import mw_from_kw
from wattbook_proto import feed_pb2, prices_pb2, trades_pb2

from gateway.api.http import Request, Response, json_response
from gateway.api.values import instant_s, instant_us, number
from gateway.usecases.live import Feed, Quarantine

DEFAULT_LIMIT = 100
_STATES = {feed_pb2.OPEN: "open", feed_pb2.REPLAYED: "replayed", feed_pb2.DROPPED: "dropped"}


class _Drop(msgspec.Struct, forbid_unknown_fields=True):
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


_drop = msgspec.json.Decoder(_Drop)


class FeedApi:
    """Handlers of the feed's state and of how complete a day is."""

    def __init__(self, feed: Feed) -> None:
        """Serve ``feed``."""
        self._feed = feed

    async def status(self, request: Request) -> Response:
        """``GET /feed``."""
        found = await self._feed.status(request.principal)
        body = _status(found.feed)
        body["prices"] = _poller(found.prices) if found.prices is not None else None
        body["prices_missing"] = found.prices_missing or None
        return json_response(body)

    async def reconciliation(self, request: Request) -> Response:
        """``GET /reconciliations/{day}``."""
        found = await self._feed.reconciliation(
            request.principal, day=request.params["day"], area=request.params.get("area", "")
        )
        return json_response(_reconciliation(found.compared) | _unconfirmed(found.unconfirmed))


class QuarantineApi:
    """Handlers of the quarantine."""

    def __init__(self, quarantine: Quarantine) -> None:
        """Serve ``quarantine``."""
        self._quarantine = quarantine

    async def list(self, request: Request) -> Response:
        """``GET /quarantine``."""
        params = request.params
        limit = params.get("limit", DEFAULT_LIMIT)
        page = await self._quarantine.page(
            request.principal, state=params.get("state", ""), before=_place(params.get("cursor")), limit=limit
        )
        headers = []
        if page.next_before_id:
            cursor = f"{page.next_before_us}-{page.next_before_id}"
            following = urlencode({**params, "limit": limit, "cursor": cursor})
            headers = [(b"link", f'</v1/quarantine?{following}>; rel="next"'.encode())]
        return json_response(
            {
                "items": [_item(item) for item in page.items],
                "open": page.open,
                "nodes_away": list(page.nodes_away),
            },
            headers=headers,
        )

    async def show(self, request: Request) -> Response:
        """``GET /quarantine/{id}``."""
        return _shown(await self._quarantine.show(request.principal, request.params["id"]))

    async def replay(self, request: Request) -> Response:
        """``POST /quarantine/{id}/replay``."""
        trader_id = request.params.get("trader_id", "")
        return _shown(
            await self._quarantine.replay(request.principal, request.params["id"], trader_id=trader_id)
        )

    async def drop(self, request: Request) -> Response:
        """``POST /quarantine/{id}/drop``."""
        body = await request.body()
        reason = decode(_drop.decode, body).reason
        refuse_repeated_keys(body)
        return _shown(await self._quarantine.drop(request.principal, request.params["id"], reason=reason))


def _place(cursor: str | None) -> tuple[int, int]:
    """When what stands before the page was received, and its number.

    Raises:
        InvalidInput: the cursor is none of ours.
    """
    if not cursor:
        return 0, 0
    received_us, number = map(int, cursor.split("-"))
    if not received_us:
        raise InvalidInput("cursor: follow the Link header unchanged")
    return received_us, number


def _status(status: feed_pb2.StatusReply) -> dict[str, Any]:
    return {
        "listeners": [_listener(listener) for listener in status.listeners],
        "frames": status.frames,
        "spool_depth": status.spool_depth,
        "outbox_depth": status.outbox_depth,
        "quarantined": status.quarantined,
        "last_trade": instant_us(status.last_trade_us),
        "lag_us": status.lag_us if status.last_trade_us else None,
        "files_waiting": [
            {"name": each.name, "since": instant_us(each.since_us), "waits_for": each.waits_for}
            for each in status.files_waiting
        ],
    }


def _listener(listener: feed_pb2.Listener) -> dict[str, Any]:
    return {
        "node": listener.node,
        "url": listener.url,
        "connected": listener.connected,
        "since": instant_us(listener.since_us),
        "last_frame": instant_us(listener.last_frame_us),
        "frames": listener.frames,
        "connects": listener.connects,
        "next_attempt": instant_us(listener.next_attempt_us),
        "trouble": listener.trouble or None,
    }


def _poller(status: prices_pb2.StatusReply) -> dict[str, Any]:
    return {
        "leader": status.leader,
        "minute_budget_left": status.minute_budget_left,
        "hour_budget_left": status.hour_budget_left,
        "cycle_start": instant_s(status.cycle_start_s),
        "periods_tradable": status.periods_tradable,
        "periods_fresh": status.periods_fresh,
        "last_success": instant_us(status.last_success_us),
        "trouble": status.trouble or None,
        "trouble_since": instant_us(status.trouble_since_us),
    }


def _item(item: feed_pb2.Quarantined) -> dict[str, Any]:
    return {
        "id": item.id,
        "received": instant_us(item.received_us),
        "origin": item.origin,
        "reason": item.reason,
        "state": _STATES.get(item.state, "open"),
        "decided_by": item.decided_by or None,
        "decided": instant_us(item.decided_us),
        "trade_id": item.trade_id or None,
    }


def _shown(item: feed_pb2.Quarantined) -> Response:
    body = _item(item)
    try:
        body["frame"] = item.frame.decode()
    except UnicodeDecodeError:
        body["frame_base64"] = base64.b64encode(item.frame).decode()
    return json_response(body)


def _reconciliation(found: feed_pb2.ReconciliationReply) -> dict[str, Any]:
    return {
        "day": found.day,
        "reconciled": found.reconciled,
        "reconciled_at": instant_us(found.reconciled_us),
        "file_name": found.file_name or None,
        "in_both": found.in_both,
        "recovered": found.recovered,
        "feed_only": found.feed_only,
        "differing": found.differing,
        "complete_to": instant_us(found.complete_to_us),
        "gap": found.gap,
        "file_only": found.file_only,
        "corrected": found.corrected,
        "differences": [_difference(each) for each in found.differences],
        "nodes_away": list(found.nodes_away),
    }


def _unconfirmed(found: Sequence[trades_pb2.BookedTrade] | None) -> dict[str, Any]:
    if found is None:
        return {"unconfirmed": None, "unconfirmed_trades": []}
    trades = [{"trade_id": each.id, "trader_id": each.trader_id} for each in found]
    return {"unconfirmed": len(trades), "unconfirmed_trades": trades}


def _difference(each: feed_pb2.Difference) -> dict[str, Any]:
    said = {
        name: _statement(getattr(each, name)) if each.HasField(name) else None
        for name in ("file", "feed", "booked")
    }
    return {"trade_id": each.trade_id, "kind": each.kind, "detail": each.detail, **said}


def _statement(trade: trades_pb2.TradeToBook) -> dict[str, Any]:
    """A trade as the trades API states it, without its id."""
    query = urlencode({"trader_id": trade.trader_id, "delivery_day": trade.delivery_day})
    return {
        "price": trade.price_ct_per_mwh,
        "quantity": number(format(mw_from_kw(trade.quantity_kw), "f")),
        "direction": "buy" if trade.direction == trades_pb2.BUY else "sell",
        "delivery_day": trade.delivery_day,
        "delivery_hour": trade.delivery_hour,
        "trader_id": trade.trader_id,
        "execution_time": instant_us(trade.execution_time_us),
        "trades": f"/v1/trades?{query}",
    }
