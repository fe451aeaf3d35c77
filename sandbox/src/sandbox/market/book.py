"""An order book: price-time priority, trades happen at the resting order's price."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

BUY, SELL = "buy", "sell"


@dataclass(slots=True)
class Order:
    """Somebody's wish to trade; ``trader_id`` is empty where it is not one of our desk."""

    side: str
    price_ct: int
    quantity_kw: int
    trader_id: str = ""


@dataclass(slots=True)
class Fill:
    """A trade between an order that rested and the one that met it."""

    price_ct: int
    quantity_kw: int
    resting: Order
    incoming: Order


class OrderBook:
    """The resting orders of one delivery hour."""

    def __init__(self) -> None:
        """Start empty."""
        # Best first on both sides: the key is what a better order has less of, then who came first.
        self._sides: dict[str, list[tuple[int, int, Order]]] = {BUY: [], SELL: []}
        self._arrivals = 0

    def place(self, order: Order) -> list[Fill]:
        """Match an order against what rests; what remains of it rests, with ``quantity_kw`` reduced."""
        fills: list[Fill] = []
        facing = self._sides[SELL if order.side == BUY else BUY]
        while order.quantity_kw and facing and _crosses(order, facing[0][2]):
            resting = facing[0][2]
            quantity_kw = min(order.quantity_kw, resting.quantity_kw)
            order.quantity_kw -= quantity_kw
            resting.quantity_kw -= quantity_kw
            fills.append(Fill(resting.price_ct, quantity_kw, resting, order))
            if not resting.quantity_kw:
                del facing[0]
        if order.quantity_kw:
            self._rest(order)
        return fills

    def best(self, side: str) -> Order | None:
        """The order that would be met first on a side."""
        orders = self._sides[side]
        return orders[0][2] if orders else None

    def resting(self, side: str) -> list[Order]:
        """A side's orders, best first."""
        return [order for _, _, order in self._sides[side]]

    def withdraw_beyond(self, *, low_ct: int, high_ct: int, most: int) -> None:
        """Take out orders outside a price range, and each side's worst beyond ``most``: quotes grow stale."""
        for side, orders in self._sides.items():
            kept = [entry for entry in orders if low_ct <= entry[2].price_ct <= high_ct]
            self._sides[side] = kept[:most]

    def _rest(self, order: Order) -> None:
        self._arrivals += 1
        key = -order.price_ct if order.side == BUY else order.price_ct
        insort(self._sides[order.side], (key, self._arrivals, order))


def _crosses(order: Order, resting: Order) -> bool:
    if order.side == BUY:
        return resting.price_ct <= order.price_ct
    return resting.price_ct >= order.price_ct
