"""What becomes of a statement: the exchange's statement of a trade wins over a client's.

A row knows whether the exchange has stated it. Once it has, nothing but a desk user's recorded decision
replaces it, and only by what the exchange has stated, too: two different statements of the exchange are for
people.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from hashlib import blake2b

from trade_service.domain.trade import BookedRow

DIGEST_BYTES = 16


class Speaker(Enum):
    """Whose statement it is."""

    CLIENT = "client"
    EXCHANGE = "exchange"
    NAMED = "named"  # the exchange's, booked for a trader whom the desk named
    ACCEPTED = "accepted"  # one of the exchange's, which the desk chose


class Decision(Enum):
    """What is done with a statement."""

    ADD = "add"
    DUPLICATE = "duplicate"
    CONFIRM = "confirm"  # a duplicate by which the exchange states the row for the first time
    REPLACE = "replace"
    CONFLICT = "conflict"


def decide(
    speaker: Speaker, *, is_booked: bool, is_equal: bool, is_confirmed: bool, is_stated: bool = True
) -> Decision:
    """What to do with a statement about an id.

    ``is_booked``: the id is in the book; ``is_equal``: with the same content; ``is_confirmed``: the exchange
    has stated that content; ``is_stated``: it has stated the one at hand.
    """
    if speaker is Speaker.ACCEPTED and not is_stated:
        return Decision.CONFLICT
    if not is_booked:
        return Decision.ADD
    by_client = speaker is Speaker.CLIENT
    if is_equal:
        return Decision.DUPLICATE if by_client or is_confirmed else Decision.CONFIRM
    if by_client or (is_confirmed and speaker is Speaker.EXCHANGE):
        return Decision.CONFLICT
    return Decision.REPLACE


def chained_digest(before: str, rows: Sequence[BookedRow]) -> str:
    """The digest after a commit of ``rows``, given the one before. It is compared, never computed again.

    So the interpreter's own hash of the rows will do, though each process has another one: to write them out
    for a real one cost a booking a tenth of its time.
    """
    content = f"{before} {hash(tuple(rows))} {rows[-1]}".encode()
    return blake2b(content, digest_size=DIGEST_BYTES).hexdigest()
