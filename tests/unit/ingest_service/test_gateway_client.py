"""The client of the gateway over real HTTP: tokens, streams, and what each refusal means."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator, Sequence
from email.utils import format_datetime

import pytest
from ingest_service.clients import Gateway
from ingest_service.domain import (
    ConfirmedTrade,
    Counts,
    FileRefused,
    GatewayDown,
    ListedRow,
    NotYet,
    UploadFailed,
    Verdict,
    instant_us,
    trade_of,
)
from wattbook import telemetry
from wattbook.clock import FakeClock

from tests.support.otlp_sink import otlp_sink, recorded
from tests.support.trades import as_csv, trade
from tests.unit.ingest_service.fakes import CLIENT_ID, CLIENT_SECRET, FakeGateway, Refusal

NOW = datetime.datetime(2023, 2, 28, 12, tzinfo=datetime.UTC)


class Uploads:
    """Uploads contents one after another with one client."""

    def __init__(self, fake: FakeGateway, *, secret: str = CLIENT_SECRET) -> None:
        self.clock = FakeClock(NOW)
        self.refused: list[ListedRow] = []
        self._url = fake.url
        self._secret = secret

    def __call__(self, *contents: str) -> list[Counts]:
        return asyncio.run(self._all(contents))

    async def _all(self, contents: Sequence[str]) -> list[Counts]:
        gateway = Gateway(url=self._url, client_id=CLIENT_ID, client_secret=self._secret, clock=self.clock)
        try:
            return [await self.one(gateway, content.encode()) for content in contents]
        finally:
            await gateway.close()

    async def one(self, gateway: Gateway, content: bytes) -> Counts:
        async def body() -> AsyncIterator[bytes]:
            for start in range(0, len(content), 1000):
                yield content[start : start + 1000]

        async def on_refused(rows: Sequence[ListedRow]) -> None:
            self.refused.extend(rows)

        return await gateway.upload(body=body, size_bytes=len(content), on_refused=on_refused)


def file_of(count: int, *, bad: Sequence[int] = ()) -> str:
    return as_csv([trade(price="1.5" if row in bad else 100) for row in range(1, count + 1)])


def test_a_file_is_booked_and_its_refused_rows_come_back(fake: FakeGateway) -> None:
    upload = Uploads(fake)

    (counts,) = upload(file_of(500, bad=[7, 400]))

    assert counts == Counts(added=498, invalid=2)
    assert upload.refused == [
        ListedRow(7, "price: not a whole number"),
        ListedRow(400, "price: not a whole number"),
    ]


def test_a_conflict_comes_with_what_is_booked(fake: FakeGateway) -> None:
    booked = (
        '{"id":"a","price":120,"quantity":12.34,"direction":"sell","delivery_day":"2023-02-28",'
        '"delivery_hour":14,"trader_id":"t|x","execution_time":"2023-02-28T11:12:35Z"}'
    )
    fake.answer_lines = [
        f'{{"row":2,"id":"a","result":"conflict","reason":"price","booked":{booked}}}',
        '{"summary":{"added":2,"duplicate":0,"conflict":1,"invalid":0}}',
    ]
    upload = Uploads(fake)
    upload(file_of(3))

    (row,) = upload.refused
    assert trade_of("a", row.booked) == ConfirmedTrade(
        "a", 120, 12_340, 2, "2023-02-28", 14, "t|x", instant_us("2023-02-28T11:12:35Z")
    )


def test_a_row_that_corrected_the_book_comes_back_too_and_is_not_refused(fake: FakeGateway) -> None:
    fake.answer_lines = [
        '{"row":2,"id":"a","result":"added","corrected":true}',
        '{"summary":{"added":3,"duplicate":0,"conflict":0,"invalid":0}}',
    ]
    upload = Uploads(fake)

    assert upload(file_of(3)) == [Counts(added=3)]
    assert upload.refused == [ListedRow(2, "added", Verdict.CORRECTED)]


def test_the_request_carries_the_id_of_the_work_at_hand(fake: FakeGateway) -> None:
    with telemetry.within(telemetry.new_context(request_id="file-abc")):
        Uploads(fake)(file_of(1))

    assert fake.uploads[0]["request_id"] == "file-abc"


def test_token_and_upload_are_counted_and_in_the_trace_of_the_file(fake: FakeGateway) -> None:
    with (
        otlp_sink() as sink,
        recorded(sink, service="ingest-service"),
        telemetry.entering("take file") as work,
    ):
        Uploads(fake)(file_of(1))

    paths = {span.attributes["url.full"]: span.trace_id for span in sink.spans if span.kind == "client"}
    assert work.context is not None
    assert paths == dict.fromkeys(
        (f"{fake.url}/v1/trades/batch", f"{fake.url}/v1/oauth/token"), work.context.trace_id
    )
    (duration,) = sink.latest("ingest-service", "http.client.request.duration")
    assert duration.count == 2


def test_one_token_serves_many_files(fake: FakeGateway) -> None:
    Uploads(fake)(file_of(1), file_of(1), file_of(1))

    assert fake.token_requests == 1


def test_a_token_near_its_end_is_not_used(fake: FakeGateway) -> None:
    fake.token_lasts_s = 60
    upload = Uploads(fake)

    async def twice() -> None:
        gateway = Gateway(url=fake.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, clock=upload.clock)
        await upload.one(gateway, file_of(1).encode())
        upload.clock.advance(2)
        await upload.one(gateway, file_of(1).encode())
        await gateway.close()

    asyncio.run(twice())

    assert fake.token_requests == 2


def test_a_token_that_was_withdrawn_is_replaced_at_once(fake: FakeGateway) -> None:
    upload = Uploads(fake)

    async def twice() -> None:
        gateway = Gateway(url=fake.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, clock=upload.clock)
        await upload.one(gateway, file_of(1).encode())
        fake.tokens.clear()
        await upload.one(gateway, file_of(1).encode())
        await gateway.close()

    asyncio.run(twice())

    assert len(fake.trades) == 2
    assert fake.token_requests == 2


def test_a_wrong_secret_stops_every_upload_and_is_named(fake: FakeGateway) -> None:
    with pytest.raises(GatewayDown, match="gives no token: invalid_client"):
        Uploads(fake, secret="other")(file_of(1))


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_some_refusals_are_for_good(fake: FakeGateway, status: int) -> None:
    fake.refusal = Refusal(status, message="because")

    with pytest.raises(FileRefused, match="because"):
        Uploads(fake)(file_of(1))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, GatewayDown),
        (403, GatewayDown),
        (404, GatewayDown),
        (429, GatewayDown),
        (301, UploadFailed),
        (500, UploadFailed),
        (503, UploadFailed),
    ],
)
def test_others_are_for_now(fake: FakeGateway, status: int, kind: type[Exception]) -> None:
    fake.refusal = Refusal(status)

    with pytest.raises(kind, match="told to"):
        Uploads(fake)(file_of(1))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (format_datetime(NOW + datetime.timedelta(seconds=30), usegmt=True), 31),
        (format_datetime(NOW - datetime.timedelta(seconds=30), usegmt=True), 0),
        ("999999999", 3600),
        ("soon", None),
        ("-1", None),
    ],
)
def test_retry_after_is_understood(fake: FakeGateway, header: str, seconds: int | None) -> None:
    fake.refusal = Refusal(429, headers={"Retry-After": header})

    with pytest.raises(GatewayDown) as raised:
        Uploads(fake)(file_of(1))

    assert raised.value.retry_after_s == seconds


def test_a_refusal_before_the_end_of_the_body_is_understood(fake: FakeGateway) -> None:
    fake.refusal = Refusal(400, message="early", after_body=False)

    with pytest.raises((FileRefused, UploadFailed)):
        Uploads(fake)(file_of(50_000))


def test_no_gateway_is_told_from_a_failed_upload(fake: FakeGateway) -> None:
    fake.down()

    with pytest.raises(GatewayDown, match="not reachable"):
        Uploads(fake)(file_of(1))


def test_an_answer_that_breaks_off_is_no_answer(fake: FakeGateway) -> None:
    fake.break_off_answers = 1

    with pytest.raises(UploadFailed):
        Uploads(fake)(file_of(10, bad=[1, 2, 3, 4]))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "broke off"),
        (["{}"], "broke off"),
        (["what?"], "not NDJSON"),
        (["[]"], "not NDJSON of objects"),
        (['{"summary":{"added":1}}'], "summary is incomplete"),
        (['{"result":"invalid"}'], "no row number"),
        (['{"row":2,"result":"invalid"}', '{"row":1,"result":"invalid"}'], "not in the order"),
        (['{"summary":{"added":0,"duplicate":0,"conflict":0,"invalid":1}}'], "refused 1 rows and listed 0"),
    ],
)
def test_an_answer_that_is_none_is_not_believed(
    fake: FakeGateway, monkeypatch: pytest.MonkeyPatch, lines: list[str], said: str
) -> None:
    monkeypatch.setattr(fake, "answer_lines", lines)

    with pytest.raises(UploadFailed, match=said):
        Uploads(fake)(file_of(1))


def test_an_exception_of_the_body_passes_through(fake: FakeGateway) -> None:
    async def upload() -> None:
        gateway = Gateway(
            url=fake.url, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, clock=FakeClock(NOW)
        )

        async def body() -> AsyncIterator[bytes]:
            yield b"id"
            raise NotYet("it became shorter")

        await gateway.upload(body=body, size_bytes=1000, on_refused=_nothing)

    with pytest.raises(NotYet, match="shorter"):
        asyncio.run(upload())


async def _nothing(_rows: Sequence[ListedRow]) -> None:
    return None
