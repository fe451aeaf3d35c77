"""What is PostgreSQL's own: addresses as libpq reads them, and errors in our words.

Source of the error codes: PostgreSQL's appendix "PostgreSQL Error Codes".
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

PREFIX = "postgresql+psycopg://"
_LIBPQ_PREFIX = "postgresql://"

_REFUSED_WHILE_READING = "25006"
_LOCK_NOT_AVAILABLE = "55P03"
# A whole code, or its first two characters for the rest of a class.
_REASONS = {
    "08": "its server cannot be reached",
    _REFUSED_WHILE_READING: "it is read-only",
    "25P03": "it takes too long",
    "25P04": "it takes too long",
    "40": "others changed the same at once",
    "53100": "its disk is full",
    "53200": "memory is short",
    "53300": "it has too many connections",
    "53": "its server is short of something",
    _LOCK_NOT_AVAILABLE: "it is locked",
    "57014": "it takes too long",
    "57P01": "its server restarts",
    "57P02": "its server restarts",
    "57P03": "its server restarts",
    "57P05": "its server restarts",
    "58": "its disk failed",
    "XX001": "it is damaged",
    "XX002": "it is damaged",
}
_UNREACHABLE = _REASONS["08"]
# libpq's words where the server's certificate is expired, of another host, or signed by a stranger.
_CERTIFICATE = ("certificate verify failed", "server certificate")
_LONGEST_DETAIL = 300


def parameters_of(url: str) -> dict[str, str]:
    """Parameters for libpq of ``postgresql+psycopg://user@host1:5432,host2:5432/db?sslmode=verify-full…``.

    Raises:
        ValueError: it is no such address. The message does not repeat it: it may hold a password.
    """
    if not url.startswith(PREFIX):
        raise ValueError(f"the address of a store does not begin with {PREFIX}")
    try:
        found = conninfo_to_dict(_LIBPQ_PREFIX + url.removeprefix(PREFIX))
    except psycopg.Error:
        raise ValueError(f"what follows {PREFIX} is no address that PostgreSQL's library reads") from None
    return {name: str(value) for name, value in found.items()}


def shown(parameters: dict[str, str]) -> str:
    """``host:port/database``, for people; no user and no password."""
    hosts = parameters.get("host", "localhost").split(",")
    ports = parameters.get("port", "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    places = ",".join(f"{host}:{port}" for host, port in zip(hosts, ports, strict=False))
    return f"{places}/{parameters.get('dbname', '')}"


def reason_of(error: BaseException | None) -> str | None:
    """Why PostgreSQL cannot work now, for people; None where the error is about what was asked of it."""
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:  # made by libpq on this side: there is no connection, or none any more
        if any(words in str(error) for words in _CERTIFICATE):
            return "its server's certificate is not accepted"
        return _UNREACHABLE if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else None
    return _REASONS.get(state) or _REASONS.get(state[:2])


def is_reader_writing(error: BaseException | None) -> bool:
    """Whether a transaction that is to read only was asked to write, which is a fault of ours."""
    return getattr(error, "sqlstate", None) == _REFUSED_WHILE_READING


def is_locked(error: BaseException | None) -> bool:
    """Whether somebody else held a lock for longer than we wait."""
    return getattr(error, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def detail_of(error: Any) -> str:
    """What PostgreSQL said, in one bounded line. It names hosts and users, never passwords."""
    return " ".join(str(error).split())[:_LONGEST_DETAIL]
