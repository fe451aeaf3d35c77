"""How the provider is doing, as far as we can tell, and what is left of its budget."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Health(NamedTuple):
    """When it last answered, and why it does not now (``""``: it does); microseconds, 0 is never.

    ``held_until_us``: before that it wants no request, as it said itself.
    """

    last_success_us: int = 0
    trouble: str = ""
    trouble_since_us: int = 0
    held_until_us: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """How the poller is doing."""

    minute_budget_left: int
    hour_budget_left: int
    cycle_start_s: int
    hours_tradable: int
    hours_fresh: int
    health: Health
