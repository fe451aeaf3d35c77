"""Whom we call: the drop folder's file system, gateway, exchange, bus, book, and other nodes."""

from ingest_service.clients.book import Book
from ingest_service.clients.bus import PatientBus
from ingest_service.clients.exchange import ExchangeConnection, is_websocket_url, public_url
from ingest_service.clients.folder import DropFolder
from ingest_service.clients.gateway import Body, Gateway
from ingest_service.clients.peers import Peer
from ingest_service.clients.rejected import RejectedFile, keep_rejected
from ingest_service.clients.source import SourceFile

__all__ = [
    "Body",
    "Book",
    "DropFolder",
    "ExchangeConnection",
    "Gateway",
    "PatientBus",
    "Peer",
    "RejectedFile",
    "SourceFile",
    "is_websocket_url",
    "keep_rejected",
    "public_url",
]
