"""Row numbers mean the same to both sides: this service finds the very rows that the gateway counts."""

from __future__ import annotations

import tempfile

from gateway.api.batch_rows import reader_of
from hypothesis import given
from hypothesis import strategies as st
from ingest_service.clients import SourceFile
from ingest_service.clients.rejected import _Rows

from tests.support.trades import HEADER

LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b" ", b"\t", b"\x0c", b"\x1f", b"\r", b'"', b'"a', b'a"b,c', b"\xff", b"\x00"]),
        st.sampled_from([b"x" * 66_000]),
        st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
    ),
    max_size=12,
)


@given(
    lines=LINES,
    ending=st.sampled_from([b"\n", b"\r\n"]),
    closed=st.booleans(),
    pieces=st.sampled_from([500, 4096, 100_000]),
)
def test_both_sides_count_rows_alike(lines: list[bytes], ending: bytes, closed: bool, pieces: int) -> None:
    marked = [line + b",row%d" % number for number, line in enumerate(lines) if line.strip()]
    content = ending.join([HEADER.encode(), *marked, *lines]) + (ending if closed else b"")

    read = reader_of("text/csv")
    counted = sum(len(list(read(content[at : at + pieces]))) for at in range(0, len(content), pieces))
    counted += len(list(read(None)))

    with tempfile.TemporaryFile() as source:
        source.write(content)
        source.flush()
        rows = _Rows(SourceFile("source", source.fileno()), lambda: True)
        assert len(list(rows.rest())) == counted
