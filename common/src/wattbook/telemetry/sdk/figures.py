"""Metrics through the SDK: :class:`wattbook.telemetry.metrics.Sink`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from wattbook.telemetry.catalogue import Metric
from wattbook.telemetry.metrics import Look, Record
from wattbook.telemetry.process import watch_process
from wattbook.telemetry.sdk.exporters import Figures
from wattbook.telemetry.sdk.histograms import Histograms
from wattbook.telemetry.settings import Common, Target

_log = logging.getLogger("wattbook.telemetry")


class MetricsOut:
    """Adds up in memory and sends the sums every so often."""

    signal = "metrics"

    def __init__(self, target: Target, common: Common, resource: Resource) -> None:
        """Send to ``target``."""
        self._histograms = Histograms()
        self._reader = PeriodicExportingMetricReader(
            Figures(target, self._histograms),
            export_interval_millis=common.metrics_every_ms,
            export_timeout_millis=common.metrics_within_ms,
        )
        self._provider = MeterProvider(
            [self._reader],
            resource=resource,
            exemplar_filter=AlwaysOffExemplarFilter(),
            shutdown_on_exit=False,
        )
        self._meter = self._provider.get_meter("wattbook")
        self._recorders: dict[Metric, Record] = {}
        self._watched: set[Metric] = set()
        watch_process(self)

    def recorder(self, metric: Metric) -> Record:
        """Takes the measurements of a counter or histogram."""
        found = self._recorders.get(metric)
        if found is None:
            if metric.kind == "counter":
                found = self._meter.create_counter(metric.name, metric.unit, metric.meaning).add
                if not metric.attributes:
                    found(0, None)  # there from the start: an alert on its rate sees the first one
            else:
                found = self._histograms.recorder(metric)
            self._recorders[metric] = found
        return found

    def watch(self, metric: Metric, look: Look) -> None:
        """Asks ``look`` each time that metrics leave."""
        if metric in self._watched:
            raise ValueError(f"{metric.name} is watched already")
        self._watched.add(metric)

        def observations(_options: CallbackOptions) -> Iterable[Observation]:
            return [Observation(value, labels) for value, labels in look()]

        make = {
            "counter": self._meter.create_observable_counter,
            "updowncounter": self._meter.create_observable_up_down_counter,
            "gauge": self._meter.create_observable_gauge,
        }[metric.kind]
        make(metric.name, [observations], metric.unit, metric.meaning)

    def stop(self, within_s: float) -> None:
        """Send them once more."""
        self._reader.shutdown(timeout_millis=within_s * 1000)
