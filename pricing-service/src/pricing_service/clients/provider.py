"""The market data provider over HTTP: one request, one answer, within a deadline, never sent twice."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
from wattbook import telemetry
from wattbook.clock import Clock, to_epoch_us
from wattbook.telemetry.catalogue import PROVIDER_REQUESTS
from wattbook.telemetry.http import ClientRequest
from wattbook.telemetry.metrics import Counter

from pricing_service.domain import Outcome, Slot, Trouble, read_answer

_log = logging.getLogger(__name__)

_REQUESTS = Counter(PROVIDER_REQUESTS)
PATH = "/reference-price"
VERSION = "/v1"
MISSES = 3
AT_ONCE = 24
MOST_BYTES = 64 * 1024
# Shorter than servers usually keep a quiet connection, so that none is used just as its other end goes.
KEEP_ALIVE_S = 4.0
MOST_HOLD_S = 86_400.0


class MarketData:
    """``GET {base}/reference-price``; threads send, so that many hours can be asked for at once."""

    def __init__(self, *, url: str, clock: Clock, send_within_s: float, answer_within_s: float) -> None:
        """Ask under ``url``; where that only ever says 404, with ``/v1`` as well as without. Real seconds."""
        # From 0, else the first refusal is no increase and its alert stays quiet.
        _REQUESTS.add(0, {"status": str(httpx.codes.TOO_MANY_REQUESTS.value)})
        self._base = _Base(url)
        self._clock = clock
        self._send_within_s = send_within_s
        self._answer_within_s = answer_within_s
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="provider")
        self._http = httpx.Client(
            timeout=answer_within_s,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "wattbook-pricing",
            },
            limits=httpx.Limits(
                max_connections=AT_ONCE,
                max_keepalive_connections=AT_ONCE,
                keepalive_expiry=KEEP_ALIVE_S,
            ),
        )

    def ask(self, slot: Slot, done: Callable[[Outcome], None]) -> None:
        """Ask for ``slot``; ``done`` is told the outcome, in another thread, within the asking's trace."""
        asked_s = time.monotonic()
        self._threads.submit(self._work, slot, asked_s, done)

    def close(self) -> None:
        """Send nothing more, end what is on its way."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def _work(self, slot: Slot, asked_s: float, done: Callable[[Outcome], None]) -> None:
        with telemetry.entering("ask for a price", kind="internal"):
            try:
                outcome = self._ask(slot, asked_s)
            except Exception as error:
                told = {"delivery_day": slot.day, "hour": slot.label}
                _log.exception("asking the provider failed", extra=told)
                outcome = Trouble(f"asking the provider failed: {type(error).__name__}", open_end=True)
            done(outcome)

    def _ask(self, slot: Slot, asked_s: float) -> Outcome:
        # The budget counts it from when it was written down: what was held up must not be sent after that.
        if time.monotonic() - asked_s > self._send_within_s:
            return Trouble("too late to be sent", unsent=True)
        try:
            status, headers, body = self._get(slot, deadline_s=time.monotonic() + self._answer_within_s)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            _REQUESTS.add(1, {"status": "unreachable"})
            return Trouble(f"the provider cannot be reached ({type(error).__name__})")
        except httpx.TimeoutException:
            _REQUESTS.add(1, {"status": "timeout"})
            return Trouble(f"the provider did not answer within {self._answer_within_s:g} s", open_end=True)
        except httpx.HTTPError as error:
            _REQUESTS.add(1, {"status": "broken"})
            return Trouble(f"the provider's answer broke off ({type(error).__name__})")
        _REQUESTS.add(1, {"status": str(status)})
        now = self._clock.now()
        return read_answer(
            slot,
            status=status,
            body=body,
            now_s=to_epoch_us(now) / 1e6,
            retry_after_s=_retry_after_s(headers.get("retry-after", ""), headers.get("date", "")),
        )

    def _get(self, slot: Slot, *, deadline_s: float) -> tuple[int, httpx.Headers, bytes]:
        query = {"delivery_day": slot.day, "delivery_hour": slot.label}
        body = b""
        base = self._base.url
        with (
            ClientRequest("GET", base + PATH) as request,
            self._http.stream("GET", base + PATH, params=query) as answer,
        ):
            request.answered(answer.status_code)
            for piece in answer.iter_raw():
                body += piece
                if len(body) > MOST_BYTES:
                    raise httpx.DecodingError(f"over {MOST_BYTES} bytes")
                if time.monotonic() > deadline_s:
                    raise httpx.ReadTimeout("the answer trickles")
        self._base.answered(base, answer.status_code)
        return answer.status_code, answer.headers, body


class _Base:
    """The base address in use.

    404 means no price yet, and also that nothing is there. Servers have ``/v1`` or not, and whoever sets the
    address may not know: until there was a first price, some 404s in a row are a reason to try the other.
    """

    def __init__(self, given: str) -> None:
        """Begin with what was given."""
        self.url = given.rstrip("/")
        self._other = self.url.removesuffix(VERSION) if self.url.endswith(VERSION) else self.url + VERSION
        self._misses = 0
        self._is_sure = False
        self._lock = threading.Lock()

    def answered(self, base: str, status: int) -> None:
        """Learn from an answer."""
        with self._lock:
            if self._is_sure or base != self.url:
                return
            self._misses = self._misses + 1 if status == httpx.codes.NOT_FOUND else 0
            self._is_sure = status == httpx.codes.OK
            if self._misses == MISSES:
                self.url, self._other, self._misses = self._other, self.url, 0
                _log.info("trying the provider's other address", extra={"path": urlsplit(self.url).path})


def _retry_after_s(text: str, date: str) -> float | None:
    """Seconds, or a date, which is taken against the answer's own, whatever the clocks say."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return min(float(text), MOST_HOLD_S)
    try:
        until, since = email.utils.parsedate_to_datetime(text), email.utils.parsedate_to_datetime(date)
        return min(max((until - since).total_seconds(), 0.0), MOST_HOLD_S)
    except (ValueError, TypeError, OverflowError):
        return None
