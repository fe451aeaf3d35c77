"""What we remember: the files that came in, the frames that were heard, and how both compare."""

from ingest_service.store.days import FeedDays
from ingest_service.store.files import Ledger
from ingest_service.store.quarantine import QuarantineStore
from ingest_service.store.spool import FeedState, Settled, Spool, Spooled
from ingest_service.store.tables import FILES, METADATA, NAMES

__all__ = [
    "FILES",
    "METADATA",
    "NAMES",
    "FeedDays",
    "FeedState",
    "Ledger",
    "QuarantineStore",
    "Settled",
    "Spool",
    "Spooled",
]
