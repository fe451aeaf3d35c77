"""The reader of NEM13 files: each kind of bad and odd input, and its answer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from meter_service.domain.nem13 import Reader
from meter_service.domain.nmi import check_digit
from meter_service.domain.problems import Problem
from meter_service.domain.records import Reading, ServiceOrder

from tests.support.nem13 import END, FIELDS, HEADER, content, published_sample, read_plainly, reading


class Read:
    """A file that was read to its end."""

    def __init__(self, chunks: bytes | Iterable[bytes], *, name: str = "", is_quick: bool = True) -> None:
        reader = Reader([chunks] if isinstance(chunks, bytes) else chunks, name=name, is_quick=is_quick)
        batches = list(reader.batches())
        self.readings: list[Reading] = [found for batch in batches for found in batch.readings]
        self.orders = {line: orders for batch in batches for line, orders in batch.orders.items()}
        self.errors = reader.findings.errors
        self.error_count = reader.findings.error_count
        self.warnings = {kind: (w.count, w.lines) for kind, w in reader.findings.warnings.items()}
        self.header, self.records = reader.header, reader.records

    @property
    def error(self) -> Problem:
        assert len(self.errors) == 1, [str(error) for error in self.errors]
        return self.errors[0]


def imported(*records: str, name: str = "") -> Read:
    found = Read(content(*records), name=name)
    assert not found.errors, [str(error) for error in found.errors]
    return found


def rejected(*records: str) -> Problem:
    return Read(content(*records)).error


GOOD = reading()
OTHER = reading(at="20040207100333", previous_at="20040107100333")


def test_a_reading_is_exact_in_text_and_in_thousandths_and_at_its_instant() -> None:
    found = imported(GOOD).readings[0]

    assert (found.value_text, found.value) == ("00086.5", 86_500)
    assert (found.quantity_text, found.quantity) == ("10.0", 10_000_000)
    assert found.read_at == 1_073_433_813  # 2004-01-07 10:03:33 at +10:00
    assert found.next_read_on == "2004-04-01"
    assert (found.quality, found.method, found.line) == ("A", "", 2)


def test_the_published_sample_is_read_as_its_facts_say() -> None:
    found = Read(published_sample())

    assert not found.errors
    assert not found.warnings
    assert len(found.readings) == 10
    assert len({each.nmi for each in found.readings}) == 8
    assert len({(each.nmi, each.serial) for each in found.readings}) == 8
    assert len({each[:4] for each in found.readings}) == 10
    assert sum(each.quantity or 0 for each in found.readings) == 4_956_000_000
    assert (found.readings[0].value_text, found.readings[0].read_at) == ("56311.0", 1_073_433_813)
    assert str(read_plainly([published_sample()]).quantity) == "4956.0"


# --- records out of place


def test_no_100_is_rejected() -> None:
    error = Read(content(GOOD, header="")).error

    assert (error.line, error.expected) == (1, "a 100 record as the first one")


def test_no_900_is_rejected_as_cut_off() -> None:
    error = Read(content(GOOD, end="")).error

    assert error.line == 3
    assert "cut off" in error.expected


def test_a_file_cut_within_a_record_is_rejected() -> None:
    found = Read(content(GOOD, OTHER)[:-60])

    assert found.error_count
    assert not found.readings


def test_900_not_last_is_rejected() -> None:
    assert (
        rejected(GOOD, "900", OTHER).line == 4 if len(Read(content(GOOD, "900", OTHER)).errors) == 1 else True
    )
    errors = Read(content(GOOD, "900", OTHER)).errors
    assert [(error.line, error.expected) for error in errors] == [
        (4, "nothing after the 900 record of line 3"), (5, "nothing after the 900 record of line 3"),
    ]  # fmt: skip


def test_a_second_100_is_rejected() -> None:
    error = rejected(GOOD, HEADER, OTHER)

    assert (error.line, error.record) == (3, "100")


@pytest.mark.parametrize("indicator", ["200", "300", "400", "500"])
def test_a_record_of_nem12_within_nem13_is_rejected(indicator: str) -> None:
    error = rejected(GOOD, f"{indicator},1,2,3")

    assert error.line == 3
    assert "NEM12" in error.expected


def test_a_nem12_file_is_not_read_yet() -> None:
    error = Read(content("200,NMI", header=HEADER.replace("NEM13", "NEM12"))).error

    assert "NEM12 is not read yet" in error.expected


def test_an_unknown_version_is_rejected() -> None:
    assert Read(content(GOOD, header=HEADER.replace("NEM13", "NEM14"))).error.found == "NEM14"


def test_an_unknown_record_is_rejected() -> None:
    assert rejected(GOOD, "777,x").line == 3


def test_a_550_without_its_250_is_rejected() -> None:
    assert rejected("550,N,,N,", GOOD).line == 2


@pytest.mark.parametrize("quality", ["V", "N", "X", "", "V64"])
def test_a_quality_that_nem13_has_not_is_rejected(quality: str) -> None:
    error = rejected(reading(quality=quality))

    assert (error.line, error.field) == (2, "CurrentQualityMethod")


# --- identifiers


@pytest.mark.parametrize(
    ("nmi", "says"),
    [
        ("123456789", "10 characters"),
        ("12345678901", "10 characters"),
        ("20019857328", "2001985732"),  # with its check digit
        ("2.75E+09", "spreadsheet"),
        ("2750000000.0", "spreadsheet"),
        ("", "blank"),
        ("12345 7890", "10 characters"),
        ("١٢٣٤٥٦٧٨٩٠", "10 characters"),
    ],
)
def test_an_nmi_that_is_none_is_rejected(nmi: str, says: str) -> None:
    error = rejected(reading(nmi=nmi))

    assert error.field == "NMI"
    assert says in error.expected


@pytest.mark.parametrize(
    ("field", "name"), [("value", "CurrentRegisterRead"), ("at", "CurrentRegisterReadDateTime")]
)
def test_a_blank_value_or_time_is_rejected(field: str, name: str) -> None:
    assert rejected(reading(**{field: ""})).field == name


def test_lower_case_is_a_key_in_upper_case_with_its_text_kept() -> None:
    found = imported(reading(nmi="nbbbx11110", serial="abc1")).readings[0]

    assert (found.nmi, found.serial) == ("NBBBX11110", "ABC1")
    assert (found.nmi_as_sent, found.serial_as_sent) == ("nbbbx11110", "abc1")


@pytest.mark.parametrize("pair", ["20019857328", "QAAAVZZZZZ3", "NBBBX111100"])
def test_check_digits_are_those_published(pair: str) -> None:
    assert check_digit(pair[:10]) == pair[10]


# --- numbers and times


@pytest.mark.parametrize("field", ["value", "quantity", "previous"])
@pytest.mark.parametrize(
    "text",
    ["8. 77", "1e3", "NaN", "Infinity", "٣", "--5", "9" * 400, "1_000", "+5", ".", "-", "0x1F", "9" * 19],
)
def test_what_is_no_plain_number_is_rejected(field: str, text: str) -> None:
    error = rejected(reading(**{field: text}))

    assert error.line == 2
    assert error.field in {"CurrentRegisterRead", "Quantity", "PreviousRegisterRead"}


def test_a_thousands_comma_is_rejected() -> None:
    assert Read(content(reading(value='"1,234"'))).errors[0].field == "CurrentRegisterRead"


@pytest.mark.parametrize("field", ["at", "previous_at", "updated", "loaded"])
@pytest.mark.parametrize(
    "text",
    [
        "20040231100333", "20040107240000", "20040107106000", "2004010710033", "200401071003333",
        "2004010710o333", "00000000000000", "2.00401E+13",
    ],
)  # fmt: skip
def test_a_time_that_does_not_exist_is_rejected(field: str, text: str) -> None:
    assert rejected(reading(**{field: text})).line == 2


@pytest.mark.parametrize("text", ["20040231", "2004040", "200404011", "x"])
def test_a_next_read_date_that_does_not_exist_is_rejected(text: str) -> None:
    assert rejected(reading(next=text)).field == "NextScheduledReadDate"


def test_daylight_saving_changes_no_instant() -> None:
    before, after = imported(
        reading(at="20240407015959", previous_at="20240101000000"),
        reading(at="20240407030000", previous_at="20240101000000"),
    ).readings

    assert after.read_at - before.read_at == 3_601


@pytest.mark.parametrize(
    ("text", "unit", "thousandths"),
    [(".9", "kWh", 900_000), ("5.", "kWh", 5_000_000), ("1.5", "Wh", 1_500), ("2", "MWH", 2_000_000_000),
     ("0.95", "pf", 950), ("8.77", "kW", 8_770_000)],
)  # fmt: skip
def test_a_quantity_is_in_thousandths_of_the_base_unit(text: str, unit: str, thousandths: int) -> None:
    assert imported(reading(quantity=text, unit=unit)).readings[0].quantity == thousandths


@pytest.mark.parametrize(("text", "thousandths"), [("1.0005", 1000), ("1.0015", 1002), ("1.00051", 1001)])
def test_a_finer_value_is_rounded_half_to_even_once_with_a_warning(text: str, thousandths: int) -> None:
    found = imported(reading(value=text))

    assert (found.readings[0].value_text, found.readings[0].value) == (text, thousandths)
    assert found.warnings["rounded"] == (1, [2])


# --- unusual, and imported


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"quantity": ""}, "blank_quantity"),
        ({"unit": "kFoo"}, "unknown_unit"),
        ({"reason": "999"}, "unknown_reason"),
        ({"quality": "E99"}, "unknown_method"),
        ({"quality": "S64"}, "no_reason"),
        ({"quality": "F64"}, "no_reason"),
        ({"quality": "E"}, "no_method"),
        ({"quantity": "-3"}, "negative_quantity"),
        ({"previous_at": "20050101000000"}, "current_before_previous"),
        ({"serial": ""}, "blank_serial"),
        ({"updated": "200401080900"}, "short_update_time"),
        ({"suffix": "41"}, "suffix_not_configured"),
        ({"previous_quality": "E64"}, "previous_estimate"),
        ({"direction": "X"}, "unknown_direction"),
        ({"unit": " kWh"}, "spaces"),
        ({"quality": "S64", "reason": "0", "words": '"dog, large"'}, "quoted_comma"),
    ],
)
def test_what_is_only_unusual_is_imported_with_a_warning(fields: dict[str, str], kind: str) -> None:
    found = imported(reading(**fields))

    assert len(found.readings) == 1
    assert found.warnings[kind] == (1, [2])


def test_a_blank_quantity_is_missing_and_never_zero() -> None:
    assert imported(reading(quantity="")).readings[0].quantity is None


def test_a_negative_quantity_with_reason_26_is_no_warning() -> None:
    assert not imported(reading(quantity="-3", reason="26")).warnings


def test_an_unknown_transaction_code_is_kept_with_a_warning() -> None:
    found = imported(GOOD, "550,T,WO1,N,WO2")

    assert found.orders == {2: [ServiceOrder("T", "WO1", "N", "WO2")]}
    assert found.warnings == {"unknown_transaction": (1, [3])}


def test_several_service_orders_of_one_reading_are_kept_in_order() -> None:
    found = imported(GOOD, "550,N,A,N,B", "550,N,C,N,D", OTHER)

    assert [order.previous_order for order in found.orders[2]] == ["A", "C"]


def test_a_name_unlike_its_header_is_a_warning() -> None:
    assert imported(GOOD, name="NEM13#1#MDA1#RET1.csv").warnings == {}
    assert "name_unlike_header" in imported(GOOD, name="NEM13#1#MDA2#RET1.csv").warnings
    assert imported(GOOD, name="DETAILED.csv").warnings == {}


def test_surplus_cells_are_a_warning_unless_they_are_empty() -> None:
    assert imported(GOOD + ",,,").warnings == {}
    assert "surplus" in imported(GOOD + ",,x").warnings


def test_cp1252_bytes_are_read_with_a_warning() -> None:
    found = Read(content(reading(quality="S64", reason="0", words="caf\u00e9")).decode().encode("cp1252"))

    assert found.readings[0].reason_text == "caf\u00e9"
    assert found.warnings["cp1252"] == (1, [2])


def test_a_suffix_of_the_configuration_without_a_reading_is_a_warning() -> None:
    whole = (reading(configuration="1141"), reading(configuration="1141", suffix="41"))

    assert imported(*whole).warnings == {}
    assert imported(whole[0]).warnings == {"suffix_absent": (1, [2])}


def test_a_header_date_that_a_spreadsheet_spoiled_is_missing() -> None:
    found = Read(content(GOOD, header="100,NEM13,2.00401E+11,MDA1,RET1"))

    assert not found.errors
    assert found.header is not None
    assert found.header.created_at is None
    assert "header_date" in found.warnings


def test_header_and_end_only_is_imported_with_a_warning() -> None:
    assert imported().warnings == {"no_readings": (1, [2])}


def test_a_transfer_read_and_a_rollover_are_taken_as_they_are() -> None:
    found = imported(
        reading(at="20031001103230", value="00076.5", quantity="0"),
        reading(previous="9999941", value="106", quantity="165"),
    )

    assert [each.quantity for each in found.readings] == [0, 165_000_000]
    assert not found.warnings


def test_two_suffixes_and_two_meters_at_one_instant_are_readings_of_their_own() -> None:
    found = imported(GOOD, reading(configuration="1141", suffix="41"), reading(serial="METER0002"))

    assert len({each[:4] for each in found.readings}) == 3


# --- the physical file


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_encoding_and_line_end_is_read_with_the_same_line_numbers(encoding: str, end: str) -> None:
    text = end.join([HEADER, "", ",,,", GOOD, "550,N,,N,", OTHER, END])

    found = Read(text.encode(encoding))

    assert not found.errors
    assert [each.line for each in found.readings] == [4, 6]


def test_mixed_ends_no_final_newline_and_padding_are_read() -> None:
    text = f",,,\n{HEADER},,,\r\n{GOOD}\n{END},,,,"

    assert [each.line for each in Read(text.encode()).readings] == [3]


def test_a_short_250_of_20_fields_is_padded_and_one_of_19_is_rejected() -> None:
    cells = GOOD.split(",")

    assert len(imported(",".join(cells[:20])).readings) == 1
    assert "at least 20" in rejected(",".join(cells[:19])).expected


def test_a_header_in_lower_case_is_read() -> None:
    assert Read(content(GOOD, header=HEADER.lower())).readings


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_chunks_cut_anywhere_change_nothing(chunk: int) -> None:
    whole = content(GOOD, "550,N,,N,", reading(quality="S64", reason="0", words="caf\u00e9"), OTHER)

    found = Read(whole[at : at + chunk] for at in range(0, len(whole), chunk))

    assert found.readings == Read(whole).readings


def test_a_nul_is_rejected_with_its_line() -> None:
    assert rejected(GOOD, "250,\0").line == 3


def test_a_quote_that_is_never_closed_is_rejected_with_its_line() -> None:
    error = Read(content(GOOD, reading(words='"open'), OTHER)).errors[0]

    assert error.line == 3
    assert "quote" in error.expected


def test_a_record_over_two_lines_is_rejected_with_its_line() -> None:
    assert Read(content(reading(words='"one\r\ntwo"'))).errors[0].line == 2


def test_a_line_of_2_gb_is_rejected_as_soon_as_the_limit_is_passed() -> None:
    read = itertools.count()

    def endless() -> Iterator[bytes]:
        yield f"{HEADER}\r\n250,".encode()
        for _ in range(2**15):
            next(read)
            yield b"9" * 65_536

    error = Read(endless()).error

    assert (error.line, "64 KiB" in error.expected) == (2, True)
    assert next(read) < 10


def test_5000_columns_are_rejected_with_their_line() -> None:
    assert "256 fields" in rejected(GOOD, "250" + ",x" * 4_999).expected


@pytest.mark.parametrize("nothing", [b"", b"\r\n\r\n", b",,,\n", b"\xef\xbb\xbf"])
def test_a_file_of_nothing_is_rejected_as_empty(nothing: bytes) -> None:
    assert "empty" in Read(nothing).error.expected


@pytest.mark.parametrize(
    "other", [b"%PDF-1.4\n\x00\x01", b"\x89PNG\r\n\x1a\n\x00", b"<html>", b"id,price\n1,2\n"]
)
def test_something_else_is_rejected_as_no_flow_file(other: bytes) -> None:
    assert "no flow file" in Read(other).error.expected


def test_torn_utf_16_is_rejected() -> None:
    assert "UTF-16" in Read(content(GOOD).decode().encode("utf-16")[:-1]).errors[0].expected


def test_the_first_1000_errors_are_kept_and_all_are_counted() -> None:
    found = Read(content(*[reading(value="x")] * 1_500))

    assert (len(found.errors), found.error_count) == (1_000, 1_500)
    assert not found.readings


def test_warnings_are_grouped_with_their_count_and_first_lines() -> None:
    assert imported(*[reading(serial="")] * 50).warnings["blank_serial"] == (50, list(range(2, 12)))


# --- properties


_TEXTS = st.sampled_from(
    [
        "", "0", "1", "00086.5", ".9", "5.", "8. 77", "1e3", "-4", "1.0005", "A", "E64", "S62", "V", "kWh",
        "KWH", "11", "1141", "20040107100333", "20040231100333", "200401080900", "20040401", "12", "26",
        "999", "e", "E", " kWh", "x" * 300, '"a,b"', '"', "caf\u00e9", "٣", "9" * 20, "METER0002", "meter1",
        "1234567891", "\0", "\t",
    ]
)  # fmt: skip
_ROWS = st.lists(
    st.one_of(
        st.builds(
            lambda changes: reading(**changes),
            st.dictionaries(st.sampled_from(sorted(FIELDS)), _TEXTS, max_size=3),
        ),
        st.sampled_from(["550,N,,N,", "900", HEADER, "", ",,", "300,1", GOOD + ",,"]),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(_ROWS)
def test_the_quick_and_the_slow_way_agree_on_every_input(rows: list[str]) -> None:
    whole = content(GOOD, OTHER, *rows)
    quick, slow = Read(whole), Read(whole, is_quick=False)

    assert quick.errors == slow.errors
    assert quick.warnings == slow.warnings
    assert (quick.readings, quick.orders, quick.records) == (slow.readings, slow.orders, slow.records)


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 3))
def test_damaged_files_are_read_without_a_crash_and_each_reading_has_its_line(
    junk: bytes, at: int, left_out: int
) -> None:
    whole = content(GOOD, "550,N,,N,", OTHER)
    damaged = whole[:at] + junk + whole[at + left_out :]

    found = Read(damaged)

    assert all(1 <= each.line <= damaged.count(b"\n") + damaged.count(b"\r") + 1 for each in found.readings)
    assert found.records or found.error_count or found.warnings
