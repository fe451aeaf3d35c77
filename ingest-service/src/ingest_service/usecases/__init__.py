"""What we do with the drop folder: scan it, import a file, finish what a stopped process began.

With the exchange's feed: listen, write every frame down, tell the owner of the trades, keep what cannot be
booked, compare with the nightly file, and answer for all nodes that listen.
"""

from ingest_service.usecases.completeness import Completeness
from ingest_service.usecases.elsewhere import HeardElsewhere
from ingest_service.usecases.housekeeping import Housekeeping
from ingest_service.usecases.importing import Importer
from ingest_service.usecases.intake import Intake
from ingest_service.usecases.listening import Listener, Terms
from ingest_service.usecases.nodes import AllNodes, Own
from ingest_service.usecases.quarantine import Quarantine, ReplayAtStart
from ingest_service.usecases.reconciliation import Reconciler
from ingest_service.usecases.restored import restored
from ingest_service.usecases.scan import Scanner
from ingest_service.usecases.spooling import Spooler
from ingest_service.usecases.status import FeedStatus

__all__ = [
    "AllNodes",
    "Completeness",
    "FeedStatus",
    "HeardElsewhere",
    "Housekeeping",
    "Importer",
    "Intake",
    "Listener",
    "Own",
    "Quarantine",
    "Reconciler",
    "ReplayAtStart",
    "Scanner",
    "Spooler",
    "Terms",
    "restored",
]
