"""What goes wrong, as settings that can be changed while the exchange runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from wattbook.errors import InvalidInput

from sandbox.changes import typed_changes

_SHARES = ("duplicate_rate", "reorder_rate", "malformed_rate", "garble_rate", "unknown_rate")
HOWS = ("close", "abort")
WHOS = ("all", "one")


@dataclass(frozen=True, slots=True)
class Faults:
    """All off by default. Rates are shares of trades, 0…1; seconds are simulated seconds.

    duplicate_rate: the frame is sent twice. reorder_rate: the frame is held back until ``reorder_by`` later
    ones are out (or a second has passed). malformed_rate, unknown_rate: an extra frame, carrying no trade,
    goes out beside. garble_rate: the trade's own frame is broken, so the trade is only in the nightly file.
    split: each trade goes to only one listener, in turn. drop_every_s, drop_times, drop_how (``close``: a
    close frame, ``abort``: none), drop_who (``all`` or ``one``, in turn): connections are ended that often;
    a drop waits until somebody is connected, so that ``drop_times`` is exact.
    """

    duplicate_rate: float = 0.0
    reorder_rate: float = 0.0
    reorder_by: int = 3
    malformed_rate: float = 0.0
    garble_rate: float = 0.0
    unknown_rate: float = 0.0
    split: bool = False
    drop_every_s: float = 0.0
    drop_times: int = 0
    drop_how: str = "abort"
    drop_who: str = "all"

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            InvalidInput: a rate outside 0…1, a negative number, or an unknown word.
        """
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} must be between 0 and 1")
        if self.reorder_by < 1 or not 0 <= self.drop_every_s < float("inf") or self.drop_times < 0:
            raise InvalidInput("reorder_by must be at least 1, drop_every_s and drop_times not negative")
        if self.drop_how not in HOWS or self.drop_who not in WHOS:
            raise InvalidInput(f"drop_how is one of {HOWS}, drop_who one of {WHOS}")

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """These faults with some of them changed.

        Raises:
            InvalidInput: an unknown name, or a value that cannot be.
        """
        return replace(self, **typed_changes(Faults, changes))

    def as_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)
