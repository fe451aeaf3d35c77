"""Every metric that a service exports: name, kind, unit, meaning, labels, and how Prometheus shows it.

The one list: instruments are made from it, docs/operations.md and the dashboards are compared with it. Names
of HTTP, gRPC, bus and process figures are OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/), all others ``wattbook.<area>.<thing>``; units are UCUM.
Nothing here imports the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "updowncounter", "gauge", "histogram"]

GATEWAY, TRADE, INGEST = "gateway", "trade-service", "ingest-service"
PRICING, REPORT = "pricing-service", "report-service"
METER, CASH = "meter-service", "cash-service"
ALL = (GATEWAY, TRADE, INGEST, PRICING, REPORT, METER, CASH)
OUTBOXES = (TRADE, INGEST, PRICING, CASH)
CONSUMERS = (TRADE, INGEST, PRICING, REPORT)
STORES = (GATEWAY, TRADE, INGEST, PRICING, CASH)

# The boundaries that the conventions advise for durations in seconds, and finer ones below 5 ms.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
_PROMETHEUS_UNITS = {"s": "seconds", "By": "bytes"}


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``services`` export it; ``attributes`` are its dimensions."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    services: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def prometheus(self) -> str:
        """The name in Prometheus, as its OTLP receiver and the collector's exporter make it.

        Dots become underscores, then the unit's suffix, then ``_total`` for a counter; a unit in braces is
        a remark and leaves no suffix.
        """
        parts = [self.name.replace(".", "_")]
        suffix = _PROMETHEUS_UNITS.get(self.unit, "")
        if suffix and not parts[0].endswith(f"_{suffix}"):
            parts.append(suffix)
        if self.kind == "counter":
            parts.append("total")
        return "_".join(parts)

    @property
    def prometheus_series(self) -> tuple[str, ...]:
        """The names of its series there: a histogram has three."""
        if self.kind == "histogram":
            return tuple(f"{self.prometheus}_{part}" for part in ("bucket", "sum", "count"))
        return (self.prometheus,)

    @property
    def prometheus_labels(self) -> tuple[str, ...]:
        """Its labels there, besides ``job`` (the service), ``instance`` and a histogram's ``le``."""
        return tuple(name.replace(".", "_") for name in self.attributes)


def _durations(name: str, meaning: str, services: tuple[str, ...], *attributes: str) -> Metric:
    return Metric(name, "histogram", "s", meaning, services, attributes, SECONDS)


def _gauge(name: str, unit: str, meaning: str, services: tuple[str, ...], *attributes: str) -> Metric:
    return Metric(name, "gauge", unit, meaning, services, attributes)


def _counter(name: str, unit: str, meaning: str, services: tuple[str, ...], *attributes: str) -> Metric:
    return Metric(name, "counter", unit, meaning, services, attributes)


# Requests: rate, errors, duration.
HTTP_SERVER_DURATION = _durations(
    "http.server.request.duration", "HTTP requests answered but for probes, by route template and status",
    (GATEWAY, REPORT),
    "http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type",
)  # fmt: skip
HTTP_CLIENT_DURATION = _durations(
    "http.client.request.duration", "HTTP requests sent: to the provider, the bank, and the gateway",
    (INGEST, PRICING, REPORT, METER, CASH), "http.request.method", "server.address", "server.port",
    "http.response.status_code", "error.type",
)  # fmt: skip
RPC_SERVER_DURATION = _durations(
    "rpc.server.call.duration", "gRPC calls answered",
    (TRADE, INGEST, PRICING, REPORT, METER, CASH),
    "rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type",
)  # fmt: skip
RPC_CLIENT_DURATION = _durations(
    "rpc.client.call.duration", "gRPC calls made",
    (GATEWAY, INGEST, PRICING, REPORT), "rpc.system.name", "rpc.method", "server.address", "server.port",
    "rpc.response.status_code", "error.type",
)  # fmt: skip

# Bus and outbox.
MESSAGES_SENT = _counter(
    "messaging.client.sent.messages", "{message}",
    "messages handed to the bus; with an error.type those that it did not confirm",
    OUTBOXES, "messaging.system", "messaging.operation.name", "messaging.destination.name", "error.type",
)  # fmt: skip
MESSAGES_CONSUMED = _counter(
    "messaging.client.consumed.messages", "{message}", "messages taken from the bus, repeats counted",
    CONSUMERS, "messaging.system", "messaging.operation.name", "messaging.destination.name",
)  # fmt: skip
HANDLING_DURATION = _durations(
    "messaging.process.duration", "an attempt to handle a batch of messages",
    CONSUMERS,
    "messaging.system", "messaging.operation.name", "messaging.destination.name",
    "messaging.consumer.group.name", "error.type",
)  # fmt: skip
OUTBOX_DEPTH = _gauge("wattbook.outbox.depth", "{message}", "messages that wait for the bus", OUTBOXES)
OUTBOX_AGE = _gauge("wattbook.outbox.age", "s", "age of the oldest message that waits for the bus", OUTBOXES)
QUEUE_DEPTH = _gauge(
    "wattbook.bus.queue.depth",
    "{message}",
    "messages that wait for a group",
    (TRADE, INGEST, PRICING),
    "group",
)
DEAD_LETTERS = _gauge(
    "wattbook.bus.dead_letters", "{message}", "dead letters of a group", (TRADE, INGEST, PRICING), "group"
)

# Stores.
COMMIT_DURATION = _durations(
    "wattbook.store.commit.duration",
    "write transactions, from having the lock to being on disk; one that cannot begin, what it waited",
    STORES, "store", "durable", "error.type",
)  # fmt: skip
GROUP_SIZE = Metric(
    "wattbook.store.commit.group_size", "histogram", "{item}",
    "trades or frames that shared one commit", (TRADE, INGEST), ("store",), SIZES,
)  # fmt: skip

# The exchange's feed.
FEED_CONNECTED = _gauge(
    "wattbook.feed.connected",
    "{connection}",
    "1 while a listener is connected, else 0",
    (INGEST,),
    "listener",
)
FEED_STATE_AGE = _gauge(
    "wattbook.feed.state.age",
    "s",
    "for how long a listener has been connected, or not",
    (INGEST,),
    "listener",
)
FEED_FRAME_AGE = _gauge(
    "wattbook.feed.last_frame.age",
    "s",
    "age of the last frame; absent before the first",
    (INGEST,),
    "listener",
)
FEED_CONNECTS = _counter(
    "wattbook.feed.connects", "{connection}", "connections made to the exchange", (INGEST,), "listener"
)
FEED_FRAMES = _counter("wattbook.feed.frames", "{frame}", "frames heard", (INGEST,), "listener")
FEED_LAG = _gauge(
    "wattbook.feed.lag", "s", "newest trade heard: from its execution to our hearing of it", (INGEST,)
)
FEED_QUARANTINED = _counter(
    "wattbook.feed.quarantined",
    "{frame}",
    "frames set aside: unreadable, with an unknown field, or refused",
    (INGEST,),
    "reason",
)
FEED_HEARTBEATS = _counter("wattbook.feed.heartbeats", "{message}", "heartbeats heard", (INGEST,))
QUARANTINE_OPEN = _gauge(
    "wattbook.quarantine.open", "{frame}", "frames in quarantine that nobody has decided on", (INGEST,)
)
SPOOL_DEPTH = _gauge("wattbook.spool.depth", "{frame}", "frames heard and not yet settled", (INGEST,))

# Trades.
TRADES_BOOKED = _counter(
    "wattbook.trade.bookings", "{trade}",
    "trades answered: added, duplicate, conflict or invalid; from rest, file or feed",
    (TRADE,), "result", "source",
)  # fmt: skip

# Reference prices.
PRICE_AGE = _gauge(
    "wattbook.price.age", "s",
    "age of the oldest newest price (since its last_update) of the wanted hours, or of all tradable ones",
    (PRICING,), "period_class",
)  # fmt: skip
PRICES_MISSING = _gauge(
    "wattbook.price.missing",
    "{period}",
    "hours without a price of the newest cycle",
    (PRICING,),
    "period_class",
)
PRICE_CYCLE = _gauge(
    "wattbook.price.cycle.start",
    "s",
    "when the newest source cycle that is known began, Unix time",
    (PRICING,),
)
PRICE_CYCLE_AGE = _gauge(
    "wattbook.price.cycle.age", "s", "age of the newest source cycle that is known", (PRICING,)
)
BUDGET_LEFT = _gauge(
    "wattbook.provider.budget.left", "{request}",
    "requests that the provider still allows in the minute, hour",
    (PRICING,), "window",
)  # fmt: skip
PROVIDER_REQUESTS = _counter(
    "wattbook.provider.requests", "{request}",
    "requests sent to the provider, by the answer's status, or what happened instead", (PRICING,), "status",
)  # fmt: skip
PROVIDER_LEADER = _gauge(
    "wattbook.provider.leader", "{replica}", "1 while this replica polls, else 0", (PRICING,)
)

# Reports and pages.
REPORT_VERSION_AGE = _gauge(
    "wattbook.report.version.age", "s", "since the read model last counted a trade", (REPORT,)
)
REPORT_CUT_OFF = _gauge(
    "wattbook.report.cut_off.age",
    "s",
    "for how long the read model is cut off from the book; 0: level",
    (REPORT,),
)
REPORT_DELAY = _durations(
    "wattbook.report.delay", "from a trade's booking to its being counted in the read model", (REPORT,)
)
STREAMS_OPEN = _gauge(
    "wattbook.report.streams", "{stream}", "live streams of browsers that are open", (REPORT,)
)

# Sign-in.
SIGN_IN_FAILURES = _counter(
    "wattbook.signin.failures", "{attempt}", "sign-ins refused: wrong or unknown", (GATEWAY,)
)
SIGN_IN_THROTTLED = _counter(
    "wattbook.signin.throttled", "{attempt}", "sign-ins turned away after too many wrong ones", (GATEWAY,)
)

# The process.
PROCESS_CPU = _counter("process.cpu.time", "s", "processor time used", ALL, "cpu.mode")
PROCESS_MEMORY = Metric("process.memory.usage", "updowncounter", "By", "resident memory", ALL)
PROCESS_THREADS = Metric("process.thread.count", "updowncounter", "{thread}", "threads", ALL)
PROCESS_UPTIME = _gauge("process.uptime", "s", "since the process started", ALL)

CATALOGUE: tuple[Metric, ...] = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""All of them, in the order above."""

BY_NAME = {metric.name: metric for metric in CATALOGUE}
