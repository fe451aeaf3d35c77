"""Asking whether a service is healthy."""

from __future__ import annotations

from wattbook.probe import is_well

from wattbook_cli.domain.desk import Probe, ProbeKind


def is_healthy(probe: Probe, *, timeout_s: float) -> bool:
    """Whether the answer to ``probe`` comes within ``timeout_s`` and is good."""
    host = f"[{probe.host}]" if ":" in probe.host else probe.host
    path = probe.path if probe.kind is ProbeKind.HTTP else ""
    return is_well(f"{probe.kind.value}://{host}:{probe.port}{path}", timeout_s=timeout_s)
