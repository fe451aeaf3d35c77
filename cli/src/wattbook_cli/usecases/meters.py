"""Meter readings and flow files, through the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from wattbook_cli.clients.gateway import CSV, Gateway, exact
from wattbook_cli.domain.stops import Stop

_FILES = "/v1/flow-files"
_READINGS = "/v1/meter-readings"
_PAGE = 1_000
Query = Mapping[str, str | None]


def readings(gateway: Gateway, *, query: Query, limit: int | None) -> list[dict[str, Any]]:
    """Up to ``limit`` readings by register, newest first; all of them for None.

    Raises:
        Stop: the gateway refuses or does not answer.
    """
    return _listed(gateway, _READINGS, query, limit)


def readings_csv(gateway: Gateway, *, query: Query) -> Iterator[bytes]:
    """All readings as CSV, a page at a time. Raises like :func:`readings`."""
    return _csv(gateway, _READINGS, query)


def files(gateway: Gateway, *, query: Query, limit: int | None) -> list[dict[str, Any]]:
    """Up to ``limit`` flow files, newest first. Raises like :func:`readings`."""
    return _listed(gateway, _FILES, query, limit)


def files_csv(gateway: Gateway, *, query: Query) -> Iterator[bytes]:
    """All flow files as CSV. Raises like :func:`readings`."""
    return _csv(gateway, _FILES, query)


def file(gateway: Gateway, number: int) -> dict[str, Any]:
    """One with its warnings, and its errors under ``errors``. Raises like :func:`readings`."""
    found = dict(exact(gateway.ask("GET", f"{_FILES}/{number}").text))
    errors = exact(gateway.ask("GET", f"{_FILES}/{number}/errors").text) if found["error_count"] else []
    return {**found, "errors": errors}


def meter_point(gateway: Gateway, nmi: str) -> bytes:
    """A meter point with its meters and registers, as JSON. Raises like :func:`readings`."""
    return gateway.ask("GET", f"/v1/meter-points/{quote(nmi, safe='')}").content


def import_file(
    gateway: Gateway, path: Path, *, dry_run: bool, sent: Callable[[int], None]
) -> dict[str, Any]:
    """What became of each flow file in ``path``; ``sent`` is told the bytes sent so far.

    Raises:
        Stop: it was not taken; sending it again is safe.
    """
    try:
        with path.open("rb") as opened:
            query = {"dry_run": "true"} if dry_run else {}
            return gateway.send_file(_FILES, _Counted(opened, sent), name=path.name, query=query)
    except OSError as error:
        raise Stop(f"cannot read it: {error.strerror or error}") from None


def withdraw(gateway: Gateway, number: int, *, reason: str = "", dry_run: bool = False) -> dict[str, Any]:
    """Take back what a file brought, or with ``dry_run`` say what that would change."""
    query = {"dry_run": "true"} if dry_run else None
    answer = gateway.ask("POST", f"{_FILES}/{number}/withdrawal", query=query, body={"reason": reason})
    return dict(exact(answer.text))


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, seen: Callable[[int], None]) -> None:
        self._file, self._seen = file, seen
        self.fileno, self.seek = file.fileno, file.seek  # the first for its size, the other to send it again

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._seen(self._file.tell())
        return content


def _listed(gateway: Gateway, path: str, query: Query, limit: int | None) -> list[dict[str, Any]]:
    page = _PAGE if limit is None else min(limit, _PAGE)
    pages = gateway.pages(path, query={**query, "limit": str(page)})
    return list(islice((row for rows in pages for row in rows), limit))


def _csv(gateway: Gateway, path: str, query: Query) -> Iterator[bytes]:
    answer = gateway.ask("GET", path, query={**query, "limit": str(_PAGE)}, accept=CSV)
    yield answer.content
    while following := answer.links.get("next", {}).get("url"):
        answer = gateway.ask("GET", following, accept=CSV)
        yield answer.content.partition(b"\n")[2]  # without the header
