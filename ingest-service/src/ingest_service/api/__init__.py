"""Who calls us: the file system and the clock, other services over gRPC, and the bus."""

from ingest_service.api.events import Refusals, confirmed_events
from ingest_service.api.feed import RULES, FeedServicer
from ingest_service.api.inbox import InboxWatch

__all__ = ["RULES", "FeedServicer", "InboxWatch", "Refusals", "confirmed_events"]
