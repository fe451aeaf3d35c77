"""Instruments of the catalogue. Until :func:`wattbook.telemetry.start` says where to, they keep nothing.

Modules make theirs once, at their top: ``BOOKED = Counter(catalogue.TRADES_BOOKED)``. What is looked at
rather than counted is asked for when metrics leave: ``observe(catalogue.OUTBOX_DEPTH, depth)``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from wattbook.telemetry.catalogue import Metric

_log = logging.getLogger(__name__)

Labels = Mapping[str, str | int | bool]
Fixed = frozenset[tuple[str, str | int | bool]]
"""Labels that are made once and used again and again; of histograms only."""
Reading = tuple[float, Labels]
Look = Callable[[], Iterable[Reading]]
Record = Callable[[float, Any], None]

_NO_LABELS: Labels = {}


class Sink(Protocol):
    """Where measurements go."""

    def recorder(self, metric: Metric) -> Record:
        """Takes the measurements of a counter or histogram."""
        ...

    def watch(self, metric: Metric, look: Look) -> None:
        """Asks ``look`` each time that metrics leave."""
        ...


class _Registry:
    """The instruments made so far, and what is to be looked at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.instruments: list[Counter | Histogram] = []
        self.looks: dict[Metric, list[Look]] = {}
        self.sink: Sink | None = None


_REGISTRY = _Registry()


class _Instrument:
    __slots__ = ("_record", "metric")
    _kind = ""

    def __init__(self, metric: Metric) -> None:
        if metric.kind != self._kind:
            raise ValueError(f"{metric.name} is a {metric.kind}")
        self.metric = metric
        self._record: Record | None = None
        with _REGISTRY.lock:
            _REGISTRY.instruments.append(self)  # type: ignore[arg-type]  # only the two kinds below exist
            self.connect(_REGISTRY.sink)

    @property
    def is_kept(self) -> bool:
        """Whether measuring is worth it."""
        return self._record is not None

    def connect(self, sink: Sink | None) -> None:
        """Send to ``sink`` from now on."""
        self._record = sink.recorder(self.metric) if sink is not None else None


class Counter(_Instrument):
    """Counts up."""

    __slots__ = ()
    _kind = "counter"

    def add(self, amount: float = 1, labels: Labels | None = None) -> None:
        """Count ``amount`` more."""
        if self._record is not None:
            self._record(amount, labels)


class Histogram(_Instrument):
    """How values are distributed."""

    __slots__ = ()
    _kind = "histogram"

    def record(self, value: float, labels: Labels | Fixed | None = None) -> None:
        """One more value."""
        if self._record is not None:
            self._record(value, labels)


def observe(metric: Metric, look: Look) -> None:
    """Ask ``look`` for (value, labels) whenever metrics leave; what it raises leaves the metric out then.

    Where none leave nothing is kept: parts are built after :func:`wattbook.telemetry.start`.
    """
    with _REGISTRY.lock:
        if _REGISTRY.sink is None:
            return
        looks = _REGISTRY.looks.setdefault(metric, [])
        looks.append(look)
        if len(looks) == 1:
            _REGISTRY.sink.watch(metric, lambda: _readings(looks))


def observe_one(metric: Metric, look: Callable[[], float]) -> None:
    """The same for a single value without labels."""
    observe(metric, lambda: ((look(), _NO_LABELS),))


def use(sink: Sink | None) -> None:
    """Send everything to ``sink`` from now on; None: nowhere, and nothing is looked at any more."""
    with _REGISTRY.lock:
        _REGISTRY.sink = sink
        for instrument in _REGISTRY.instruments:
            instrument.connect(sink)
        _REGISTRY.looks.clear()


def _readings(looks: list[Look]) -> list[Reading]:
    found: list[Reading] = []
    for look in list(looks):
        try:
            found += look()
        except Exception as error:  # the store is down, say: there is no figure now
            _log.debug("a metric cannot be looked at now", extra={"reason": repr(error)})
    return found
