"""The standard ``OTEL_*`` variables, as far as Wattbook follows them, from a mapping that ``app`` passes.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
https://opentelemetry.io/docs/specs/otel/protocol/exporter/. One difference: without an endpoint and without
``OTEL_<SIGNAL>_EXPORTER=otlp`` nothing is exported, rather than to a collector that may not be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote, urlsplit

from wattbook.settings import SettingsError, load, setting

SIGNALS = ("traces", "metrics", "logs")
LOCAL_COLLECTOR = "http://localhost:4318"
Protocol = Literal["http/protobuf"]
Compression = Literal["none", "gzip", "deflate"]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


@dataclass(frozen=True, slots=True)
class Common:
    """What concerns every signal, and how much is kept in memory."""

    disabled: bool = setting("OTEL_SDK_DISABLED", "switch everything off", default=False)
    service_name: str = setting("OTEL_SERVICE_NAME", "service.name, else the service's own", default="")
    resource: str = setting("OTEL_RESOURCE_ATTRIBUTES", "key=value,…", default="")
    protocol: Protocol = setting("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", default="http/protobuf")
    sampler: Sampler = setting("OTEL_TRACES_SAMPLER", "which traces", default="parentbased_always_on")
    sampler_ratio: float = setting("OTEL_TRACES_SAMPLER_ARG", "share of traces, 0 to 1", default=1.0)
    span_delay_ms: int = setting("OTEL_BSP_SCHEDULE_DELAY", "send spans so often", default=5_000)
    span_queue: int = setting("OTEL_BSP_MAX_QUEUE_SIZE", "spans in memory", default=2_048)
    span_batch: int = setting("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans at a time", default=512)
    log_delay_ms: int = setting("OTEL_BLRP_SCHEDULE_DELAY", "send log lines so often", default=1_000)
    log_queue: int = setting("OTEL_BLRP_MAX_QUEUE_SIZE", "log lines in memory", default=2_048)
    log_batch: int = setting("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "log lines at a time", default=512)
    metrics_every_ms: int = setting("OTEL_METRIC_EXPORT_INTERVAL", "send metrics so often", default=60_000)
    metrics_within_ms: int = setting("OTEL_METRIC_EXPORT_TIMEOUT", "and within so long", default=30_000)


@dataclass(frozen=True, slots=True)
class Target:
    """Where one signal goes. Its ``headers`` may hold a collector's token."""

    endpoint: str
    headers: Mapping[str, str]
    timeout_s: float
    compression: Compression
    ca_file: str | None
    cert_file: str | None
    key_file: str | None

    def __repr__(self) -> str:
        """Without headers and without user information."""
        return f"Target({urlsplit(self.endpoint).hostname})"


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What is exported where; a signal without a target is not."""

    traces: Target | None
    metrics: Target | None
    logs: Target | None
    common: Common
    resource: Mapping[str, str]

    @property
    def is_on(self) -> bool:
        """Whether anything is exported."""
        return any((self.traces, self.metrics, self.logs))


def telemetry_settings(environment: Mapping[str, str]) -> TelemetrySettings:
    """What the environment says.

    Raises:
        SettingsError: a variable is wrong; each is named.
    """
    problems: list[str] = []
    common = Common()
    try:
        common = load(Common, environment)
    except SettingsError as error:
        problems += error.problems
    problems += _out_of_range(common)
    targets = {signal: _target(signal, common, environment, problems) for signal in SIGNALS}
    resource = _pairs("OTEL_RESOURCE_ATTRIBUTES", common.resource, problems)
    if problems:
        raise SettingsError(problems)
    return TelemetrySettings(**targets, common=common, resource=resource)


def _out_of_range(common: Common) -> Iterator[str]:
    if not 0 <= common.sampler_ratio <= 1:
        yield f"OTEL_TRACES_SAMPLER_ARG: {common.sampler_ratio} is not between 0 and 1"
    for prefix, queue, batch in (
        ("OTEL_BSP", common.span_queue, common.span_batch),
        ("OTEL_BLRP", common.log_queue, common.log_batch),
    ):
        if not 0 < batch <= queue:
            yield f"{prefix}_MAX_EXPORT_BATCH_SIZE: {batch} is not above 0 and at most the queue's size"
    positive = {
        "OTEL_BSP_SCHEDULE_DELAY": common.span_delay_ms,
        "OTEL_BLRP_SCHEDULE_DELAY": common.log_delay_ms,
        "OTEL_METRIC_EXPORT_INTERVAL": common.metrics_every_ms,
        "OTEL_METRIC_EXPORT_TIMEOUT": common.metrics_within_ms,
    }
    for name, value in positive.items():
        if value <= 0:
            yield f"{name}: {value} is not above 0"


def _target(
    signal: str, common: Common, environment: Mapping[str, str], problems: list[str]
) -> Target | None:
    """Where a signal goes, None where nowhere; its own variables come before the common ones."""
    own, shared = f"OTEL_EXPORTER_OTLP_{signal.upper()}_", "OTEL_EXPORTER_OTLP_"

    def told(name: str) -> tuple[str, str]:
        for variable in (own + name, shared + name):
            if environment.get(variable, "").strip():
                return variable, environment[variable].strip()
        return shared + name, ""

    exporter = environment.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip()
    variable, endpoint = told("ENDPOINT")
    if exporter not in {"", "otlp", "none"}:
        problems.append(f"OTEL_{signal.upper()}_EXPORTER: {exporter!r} is neither otlp nor none")
    if common.disabled or exporter == "none" or not (exporter or endpoint):
        return None
    if not variable.startswith(own):
        endpoint = f"{(endpoint or LOCAL_COLLECTOR).rstrip('/')}/v1/{signal}"
    if not endpoint.startswith(("http://", "https://")) or not urlsplit(endpoint).hostname:
        problems.append(f"{variable}: its value is no http address")
    if told("PROTOCOL")[1] not in {"", "http/protobuf"}:
        problems.append(f"{told('PROTOCOL')[0]}: only http/protobuf is spoken")
    compression = told("COMPRESSION")[1] or "none"
    if compression not in {"none", "gzip", "deflate"}:
        problems.append(f"{told('COMPRESSION')[0]}: {compression!r} is none of none, gzip, deflate")
    return Target(
        endpoint=endpoint,
        headers=_pairs(*told("HEADERS"), problems, secret=True),
        timeout_s=_seconds(*told("TIMEOUT"), problems),
        compression=compression,  # type: ignore[arg-type]  # checked above
        ca_file=told("CERTIFICATE")[1] or None,
        cert_file=told("CLIENT_CERTIFICATE")[1] or None,
        key_file=told("CLIENT_KEY")[1] or None,
    )


def _seconds(variable: str, text: str, problems: list[str]) -> float:
    try:
        value = float(text or 10)
    except ValueError:
        value = 0.0
    if not 0 < value <= 600:
        problems.append(f"{variable}: {text!r} is not above 0 s and at most 600")
    return value


def _pairs(variable: str, text: str, problems: list[str], *, secret: bool = False) -> dict[str, str]:
    """``key=value,…``, percent-encoded as W3C Baggage is."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            problems.append(f"{variable}: {'a part' if secret else repr(pair)} is not key=value")
        else:
            found[unquote(key.strip())] = unquote(value.strip())
    return found
