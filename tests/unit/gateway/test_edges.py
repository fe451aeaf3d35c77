"""Parameters, media types, and what is remembered of people."""

from base64 import urlsafe_b64encode
from datetime import UTC, date, datetime
from typing import Any

import pytest
from gateway.api.negotiation import body_type, chosen_type
from gateway.api.params import Parameters
from gateway.usecases import throttle as throttle_module
from gateway.usecases.memory import Memory
from gateway.usecases.throttle import Throttle
from gateway.usecases.trades import Filters, _check, cursor_after, place_in
from hypothesis import given
from hypothesis import strategies as st
from wattbook.access import Principal
from wattbook.clock import FakeClock
from wattbook.errors import InvalidInput, NotAcceptable, UnsupportedMediaType

BOTH = ("application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, BOTH[0]), ("", BOTH[0]), ("*/*", BOTH[0]), ("text/csv", BOTH[1]), ("TEXT/CSV", BOTH[1]),
        ("text/*", BOTH[1]), ("application/json;q=0.5, text/csv;q=0.9", BOTH[1]),
        ("text/html, */*;q=0.1", BOTH[0]),
        ("application/json;q=0, */*", BOTH[1]), ("text/csv;q=0.5;x=y, application/*;q=0.4", BOTH[1]),
    ],
)  # fmt: skip
def test_the_best_liked_form_is_chosen(accept: str | None, chosen: str) -> None:
    assert chosen_type(accept, BOTH) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "*/*;q=0", "application/json;q=x", "rubbish", ";;,,", "a/b," * 500]
)
def test_a_form_that_is_not_there_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        chosen_type(accept, BOTH)


def test_a_body_is_of_a_type_that_is_taken_in_utf8() -> None:
    assert body_type("application/json", None, BOTH) == "application/json"
    assert body_type('Text/CSV; charset="UTF-8"', "identity", BOTH) == "text/csv"
    for content_type, encoding in (
        (None, None), ("", None), ("text/plain", None), ("text/csv; charset=windows-1252", None),
        ("application/json", "gzip"), ("application/json, text/csv", None),
    ):  # fmt: skip
        with pytest.raises(UnsupportedMediaType):
            body_type(content_type, encoding, BOTH)


DECLARED: list[dict[str, Any]] = [
    {"name": "who", "in": "query", "schema": {"type": "string", "minLength": 1, "maxLength": 5}},
    {"name": "day", "in": "query", "required": True, "schema": {"type": "string", "format": "date"}},
    {"name": "most", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 10}},
    {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 3}},
]


def read(query: str, name: str = "n") -> dict[str, Any]:
    scope = {"query_string": query.encode(), "path_params": {"name": name}}
    return dict(Parameters(DECLARED).read(scope))


def test_parameters_come_in_their_types() -> None:
    assert read("day=2024-02-29&most=3&who=%C3%A9") == {
        "day": date(2024, 2, 29), "most": 3, "who": "é", "name": "n",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "day: missing"), ("day=2023-02-29", "day: expected a date"), ("day=20230228", "day: expected"),
        ("day=0511-07-15", "day: outside 1990-01-01…2199-12-31"), ("day=2200-01-01", "day: outside 1990"),
        ("day=2023-02-28&most=11", "most: expected a whole number from 1 to 10"),
        ("day=2023-02-28&most=", "most: "), ("day=2023-02-28&most=" + "9" * 5000, "most: "),
        ("day=2023-02-28&who=", "who: expected 1 to 5 characters"),
        ("day=2023-02-28&day=2023-02-28", "day: given twice"), ("day=2023-02-28&x=1", "x: unknown parameter"),
        ("day=2023-02-28&who=%ff", "the query string is malformed"),
    ],
)  # fmt: skip
def test_a_parameter_that_cannot_be_is_named(query: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(query)

    assert caught.value.message.startswith(message)


@given(st.binary(max_size=400))
def test_no_query_string_is_a_fault(raw: bytes) -> None:
    try:
        Parameters(DECLARED).read({"query_string": raw, "path_params": {"name": "n"}})
    except InvalidInput:
        return


_numbers = st.integers(0, 2**64 - 1)


@given(seq=_numbers, as_of_seq=_numbers, who=st.text(max_size=5), other=st.text(max_size=5))
def test_a_cursor_holds_for_its_filters_only(seq: int, as_of_seq: int, who: str, other: str) -> None:
    cursor = cursor_after(seq, Filters(who), as_of_seq=as_of_seq)

    assert place_in(cursor, Filters(who)) == (seq, as_of_seq)
    wrong = [Filters(who, unconfirmed=True), *([Filters(other)] if other != who else [])]
    for filters in wrong:
        with pytest.raises(InvalidInput):
            place_in(cursor, filters)


def test_a_cursor_of_an_earlier_release_still_leads_on() -> None:
    raw = (7).to_bytes(8, "big")
    cursor = urlsafe_b64encode(raw + _check(raw, Filters("a"))).decode().rstrip("=")

    assert place_in(cursor, Filters("a")) == (7, 0)


@given(st.text(max_size=40))
def test_no_text_is_a_cursor_by_chance(text: str) -> None:
    with pytest.raises(InvalidInput):
        place_in(text, Filters())


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2023, 2, 28, tzinfo=UTC))


def test_who_is_remembered_is_so_for_a_minute_and_not_in_the_plain(clock: FakeClock) -> None:
    memory, principal = Memory(clock), Principal("anna", frozenset())
    digest = memory.digest(b"anna:secret")
    memory.remember(digest, principal, generation=memory.generation)

    clock.advance(59.9)
    assert memory.recall(digest) is principal
    clock.advance(0.1)
    assert memory.recall(digest) is None
    assert Memory(clock).digest(b"anna:secret") != digest
    assert b"secret" not in digest


def test_who_is_forgotten_while_being_verified_is_not_remembered(clock: FakeClock) -> None:
    memory, principal = Memory(clock), Principal("anna", frozenset())
    digest = memory.digest(b"anna:secret")
    generation = memory.generation

    memory.forget("anna")
    memory.remember(digest, principal, generation=generation)

    assert memory.recall(digest) is None


def test_a_throttle_tracks_a_bounded_number(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle_module, "MOST_TRACKED", 10)
    throttle = Throttle(clock)

    for number in range(100):
        throttle.failed(f"user{number}", f"address{number}")
        throttle.failed("x" * (100 + number), "address")

    assert max(len(throttle._users), len(throttle._addresses)) <= 10
