"""Whom we call: the drop folder's file system and the gateway."""

from ingest_service.clients.folder import DropFolder
from ingest_service.clients.gateway import Gateway
from ingest_service.clients.rejected import RejectedFile
from ingest_service.clients.source import SourceFile

__all__ = ["DropFolder", "Gateway", "RejectedFile", "SourceFile"]
