"""Spans through the SDK: :class:`wattbook.telemetry.tracing.Backend`."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)

from wattbook.telemetry.context import TraceContext
from wattbook.telemetry.sdk.exporters import Spans
from wattbook.telemetry.settings import Common, Target
from wattbook.telemetry.tracing import Attributes, Kind

_KINDS = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_LOW_BITS = (1 << 64) - 1  # of a trace id: what ratios are taken of
_SHARES = {name: float(name.endswith("on")) for name in (
    "always_on", "always_off", "parentbased_always_on", "parentbased_always_off",
)}  # fmt: skip
_SAMPLED, _NOT_SAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)
_NO_PARENT = Context()  # never the SDK's own current one: ours is in wattbook.telemetry.context


class TracesOut:
    """Records spans and sends them in batches, from memory of a bounded size."""

    signal = "traces"

    def __init__(self, target: Target, common: Common, resource: Resource) -> None:
        """Send to ``target``."""
        self.asks_always = not common.sampler.startswith("parentbased_")
        self._sampled_below = round(_SHARES.get(common.sampler, common.sampler_ratio) * (_LOW_BITS + 1))
        self._ids = _DrawnIds()
        self._provider = TracerProvider(
            id_generator=self._ids,
            sampler=_SAMPLERS[common.sampler](common.sampler_ratio),
            resource=resource,
            shutdown_on_exit=False,
        )
        self._processor = BatchSpanProcessor(
            Spans(target),
            max_queue_size=common.span_queue,
            schedule_delay_millis=common.span_delay_ms,
            max_export_batch_size=common.span_batch,
            export_timeout_millis=target.timeout_s * 1000,
        )
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer("wattbook")

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: TraceContext | None,
        *,
        request_id: str,
        links: Sequence[TraceContext],
        attributes: Attributes | None,
    ) -> TraceContext:
        """A new span's context."""
        if parent is None:
            self._ids.drawn = trace_id = random.getrandbits(128) or 1
            if trace_id & _LOW_BITS >= self._sampled_below:  # the sampler's own rule, at a tenth of its cost
                return TraceContext(format_trace_id(trace_id), _new_span_id(), request_id)
        span = self._tracer.start_span(
            name,
            context=_NO_PARENT if parent is None else _context_of(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=[Link(_span_context(each)) for each in links],
            record_exception=False,  # its words and its stack may hold secrets
            set_status_on_exception=False,
        )
        ids = span.get_span_context()
        is_recording = span.is_recording()
        return TraceContext(
            format_trace_id(ids.trace_id),
            format_span_id(ids.span_id),
            request_id,
            ids.trace_flags.sampled,
            span if is_recording else None,
        )

    def end(self, context: TraceContext, *, attributes: Attributes | None, error: str | None) -> None:
        """The span is over."""
        span = context.span
        if attributes:
            span.set_attributes(attributes)
        if error is not None:
            span.set_attribute("error.type", error)
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def rename(self, context: TraceContext, name: str) -> None:
        """A better name came to be known."""
        context.span.update_name(name)

    def note(self, context: TraceContext, attributes: Attributes) -> None:
        """More of what is known of it."""
        context.span.set_attributes(attributes)

    def stop(self, within_s: float) -> None:
        """Send what is left."""
        self._processor._batch_processor.shutdown(timeout_millis=int(within_s * 1000))


class _DrawnIds(RandomIdGenerator):
    """Gives a trace the id that was drawn for it before it was asked whether it is recorded."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def drawn(self) -> int:
        """The id of the trace that this thread begins."""
        found: int = self._local.drawn
        return found

    @drawn.setter
    def drawn(self, trace_id: int) -> None:
        self._local.drawn = trace_id

    def generate_trace_id(self) -> int:
        """That id."""
        return self.drawn


def _new_span_id() -> str:
    return format_span_id(random.getrandbits(64) or 1)


def _span_context(context: TraceContext) -> SpanContext:
    if context.span is not None:
        known: SpanContext = context.span.get_span_context()
        return known
    flags = _SAMPLED if context.sampled else _NOT_SAMPLED
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags)


def _context_of(parent: TraceContext) -> Context:
    span = parent.span if parent.span is not None else NonRecordingSpan(_span_context(parent))
    return set_span_in_context(span, _NO_PARENT)


_SAMPLERS: dict[str, Callable[[float], sampling.Sampler]] = {
    "always_on": lambda _: sampling.ALWAYS_ON,
    "always_off": lambda _: sampling.ALWAYS_OFF,
    "traceidratio": sampling.TraceIdRatioBased,
    "parentbased_always_on": lambda _: sampling.ParentBased(sampling.ALWAYS_ON),
    "parentbased_always_off": lambda _: sampling.ParentBased(sampling.ALWAYS_OFF),
    "parentbased_traceidratio": lambda ratio: sampling.ParentBased(sampling.TraceIdRatioBased(ratio)),
}
