"""What the database alone takes: the same rows by COPY, in commits as large as trade-service's."""

from __future__ import annotations

import time

import psycopg
from trade_service.usecases.booking import GROUP_TRADES

COLUMNS = "LIKE trades INCLUDING ALL"


def copied_per_s(url: str) -> float:
    """Rows a second, of all that is in a book, into a table with the same indices and rules."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        with connection.cursor() as cursor:
            with cursor.copy("COPY trades TO STDOUT") as book:
                lines = b"".join(bytes(part) for part in book).splitlines(keepends=True)
            cursor.execute(f"CREATE TABLE bare ({COLUMNS})")
        connection.commit()
        began = time.perf_counter()
        for start in range(0, len(lines), GROUP_TRADES):
            with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                copy.write(b"".join(lines[start : start + GROUP_TRADES]))
            connection.commit()
        return len(lines) / (time.perf_counter() - began)
