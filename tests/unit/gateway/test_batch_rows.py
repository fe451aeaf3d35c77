"""Rows out of a batch's body, however it is cut into pieces."""

import pytest
from gateway.api.batch_rows import reader_of
from hypothesis import given
from hypothesis import strategies as st
from wattbook.errors import InvalidInput
from wattbook.trade import TRADE_FIELDS
from wattbook.trade.rows import MAX_LINE_BYTES

from tests.support.trades import PUBLISHED_ROW, as_csv, as_ndjson, trade

CSV, NDJSON, JSON = "text/csv", "application/x-ndjson", "application/json"
HEADER = ",".join(TRADE_FIELDS)


def read(mime_type: str, content: bytes, *, every: int = 7) -> list[tuple[str | None, str]]:
    """(id, "" or why it is none) of every row, fed ``every`` bytes at a time."""
    reader = reader_of(mime_type)
    rows = []
    for start in range(0, len(content), every):
        rows += reader(content[start : start + every])
    rows += reader(None)
    return [(trade_id, found if isinstance(found, str) else "") for trade_id, found in rows]


def csv_rows(text: str | bytes, **options: int) -> list[tuple[str | None, str]]:
    return read(CSV, text if isinstance(text, bytes) else text.encode(), **options)


@given(every=st.integers(1, 400))
def test_pieces_make_no_difference(every: int) -> None:
    trades = [trade(id=f"t{number}") for number in range(3)]
    wanted = [("t0", ""), ("t1", ""), ("t2", "")]

    assert read(CSV, as_csv(trades).encode(), every=every) == wanted
    assert read(NDJSON, as_ndjson(trades).encode(), every=every) == wanted


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("final", [True, False])
def test_every_way_to_end_lines_is_read(newline: str, bom: bytes, final: bool) -> None:
    text = f"{HEADER}{newline}{PUBLISHED_ROW}{newline if final else ''}"

    assert csv_rows(bom + text.encode()) == [("t_123", "")]


def test_columns_come_in_any_order() -> None:
    trades = [trade(id="t1", trader_id="trader_9")]

    assert csv_rows(as_csv(trades, header=tuple(reversed(TRADE_FIELDS)))) == [("t1", "")]


def test_quoted_commas_and_quotes_are_part_of_a_text() -> None:
    row = PUBLISHED_ROW.replace("t_123", '"t,1""2"')

    assert csv_rows(f"{HEADER}\n{row}\n") == [('t,1"2', "")]


def test_a_quote_left_open_ends_with_its_line() -> None:
    text = f'{HEADER}\n"{PUBLISHED_ROW}\n{PUBLISHED_ROW}\n'

    (_, reason), second = csv_rows(text)

    assert reason.startswith("not CSV: ")
    assert second == ("t_123", "")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("price,", ""), "CSV header: missing column 'price'"),
        (f"{HEADER},colour", "CSV header: unknown column 'colour'"),
        (f"{HEADER},price", "CSV header: column 'price' comes twice"),
        ("", "CSV header: unknown column ''"),
    ],
)
def test_a_wrong_header_spoils_the_whole_and_names_the_column(header: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        csv_rows(f"{header}\n{PUBLISHED_ROW}\n")

    assert caught.value.message == message


def test_a_header_alone_is_a_file_without_trades() -> None:
    assert csv_rows(HEADER) == []


def test_windows_1252_spoils_its_row_only() -> None:
    row = PUBLISHED_ROW.replace("trader_1", "trader_é")
    content = f"{HEADER}\n".encode() + f"{row}\n".encode("cp1252") + f"{row}\n".encode()

    assert csv_rows(content) == [("t_123", "not UTF-8"), ("t_123", "")]


def test_a_torn_last_line_is_a_row_that_is_none() -> None:
    text = f"{HEADER}\n{PUBLISHED_ROW}\nt_124,120,12,se"

    assert csv_rows(text) == [("t_123", ""), ("t_124", "expected 8 columns, found 4")]


def test_blank_lines_are_no_rows() -> None:
    assert csv_rows(f"{HEADER}\n\n{PUBLISHED_ROW}\n  \r\n\n") == [("t_123", "")]
    assert read(NDJSON, b"\n\n  \n" + as_ndjson([trade(id="a")]).encode() + b"\n") == [("a", "")]


@pytest.mark.parametrize("mime_type", [CSV, NDJSON])
def test_an_overlong_line_is_refused_and_the_next_one_read(mime_type: str) -> None:
    long = b"x" * (3 * MAX_LINE_BYTES) + b"\n"
    good = as_csv([trade(id="a")]) if mime_type == CSV else as_ndjson([trade(id="a")])
    header, _, row = good.rpartition("\n")[0].rpartition("\n")
    start = f"{header}\n" if header else ""

    rows = read(mime_type, start.encode() + long + row.encode(), every=50_000)

    assert rows == [(None, f"the line is over {MAX_LINE_BYTES} bytes"), ("a", "")]


@pytest.mark.parametrize("mime_type", [CSV, NDJSON])
@pytest.mark.parametrize("every", [10_000, 300_000])
@pytest.mark.parametrize("tail", [b"", b"x"])
def test_an_overlong_line_is_a_row_though_it_begins_with_spaces_however_it_is_cut(
    mime_type: str, every: int, tail: bytes
) -> None:
    header = f"{HEADER}\n".encode() if mime_type == CSV else b""
    good = f"{PUBLISHED_ROW}\n".encode() if mime_type == CSV else as_ndjson([trade(id="t_123")]).encode()

    rows = read(mime_type, header + b" " * 70_000 + tail + b"\n" + good, every=every)

    assert rows == [(None, f"the line is over {MAX_LINE_BYTES} bytes"), ("t_123", "")]


def test_a_row_of_json_that_is_no_trade_spoils_no_other() -> None:
    content = b'{"id":"bad","price":1.5}\nrubbish\n[]\n' + as_ndjson([trade(id="good")]).encode()

    rows = read(NDJSON, content)

    assert [trade_id for trade_id, _ in rows] == ["bad", None, None, "good"]
    assert rows[0][1] == "price: expected int, got float"
    assert rows[3][1] == ""


@pytest.mark.parametrize("content", [b"{}", b"null", b"[1,", b"", b"12"])
def test_a_whole_that_is_no_array_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput):
        read(JSON, content)


def test_an_element_that_is_not_utf8_spoils_no_other() -> None:
    array = b'[{"id":"\xff"},' + as_ndjson([trade(id="a")]).encode() + b"]"

    assert read(JSON, array) == [(None, "malformed JSON: not UTF-8"), ("a", "")]


def test_elements_of_an_array_are_rows() -> None:
    array = "[" + ",\n".join(as_ndjson([trade(id=name)]) for name in "ab") + ", 7]"

    assert [row[0] for row in read(JSON, array.encode())] == ["a", "b", None]
    assert read(JSON, b"[]") == []
