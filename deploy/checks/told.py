"""What processes are told: names that they know, everything that they must know, no secret in plain."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from wattbook.services import services
from wattbook.telemetry.settings import Common

from deploy.checks.manifests import Pods, Rendered, named

MODULES = {
    **{name: (f"{entry.package}.app",) for name, entry in services().items()},
    "sandbox": ("sandbox.exchange.app", "sandbox.market_data.app", "sandbox.bank.app"),
}
# Read by the command for jobs, and by libpq on behalf of the stores.
COMMAND = frozenset({"WATTBOOK_BUS_URL", "WATTBOOK_BUS_PASSWORD", "WATTBOOK_BUS_CA_FILE"})
LIBPQ = frozenset({"PGPASSWORD", "PGSSLMODE", "PGSSLROOTCERT", "PGHOST", "PGUSER"})
_SECRET = re.compile(r"PASSWORD|SECRET|SESSION_KEY|TOKEN")
_IN_ADDRESS = re.compile(r"://[^/@\s:]+:[^/@\s$]+@")


@cache
def known() -> Mapping[str, Mapping[str, bool]]:
    """By image: the variables that its settings know, and whether each must be told."""
    return {
        image: {
            field.metadata["env"]: field.default is dataclasses.MISSING
            for module in modules
            for field in dataclasses.fields(importlib.import_module(module).Settings)
        }
        for image, modules in MODULES.items()
    }


@cache
def telemetry() -> frozenset[str]:
    """The ``OTEL_`` variables that are followed."""
    names = {field.metadata["env"] for field in dataclasses.fields(Common)}
    return frozenset(names) | {"OTEL_EXPORTER_OTLP_ENDPOINT"}


def image_of(pods: Pods) -> str:
    """The short name of its image."""
    return str(pods.containers[0].get("image", "")).rpartition("/")[2].partition(":")[0].partition("@")[0]


def problems(rendered: Rendered) -> Iterator[str]:
    """A line each."""
    everybody = frozenset().union(*known().values()) | telemetry() | LIBPQ | COMMAND
    for doc in rendered.of("Secret"):
        yield f"{named(doc)}: a secret's content does not belong here"
    for doc in rendered.of("ConfigMap"):
        if doc["metadata"]["name"].startswith("settings"):
            strange = {name for name in doc.get("data", {}) if not name.startswith("BUS_")} - everybody
            yield from (f"{named(doc)}: nobody knows {name}" for name in sorted(strange))
    for pods in rendered.ours():
        if image_of(pods) in known():
            yield from (f"{named(pods.doc)}: {problem}" for problem in _service(rendered, pods))
        for container in pods.containers:
            yield from (
                f"{named(pods.doc)}: {problem}" for problem in plain_secrets(container.get("env", ()))
            )


def _service(rendered: Rendered, pods: Pods) -> Iterator[str]:
    names = known()[image_of(pods)]
    container = pods.containers[0]
    own = {each["name"] for each in container.get("env", ())}
    for name in sorted(own):
        if name.startswith(("WATTBOOK_", "OTEL_")) and name not in names.keys() | telemetry():
            yield f"is told {name}, which {image_of(pods)} does not know"
    if pods.is_job:
        return
    told = rendered.settings(container)
    for name, must in sorted(names.items()):
        if must and image_of(pods) != "sandbox" and not told.get(name):
            yield f"is not told {name}, without which it does not start"
    for name, value in told.items():
        if isinstance(value, str) and "$(" in value:
            yield f"is told {name} with a part that is not there: {value}"


def plain_secrets(environment: list[Mapping[str, Any]]) -> Iterator[str]:
    """Whatever looks like a secret and is written out."""
    for each in environment:
        value = each.get("value")
        if value and _SECRET.search(each["name"]) and not each["name"].endswith("_FILE"):
            yield f"{each['name']} is written out"
        if value and _IN_ADDRESS.search(value):
            yield f"{each['name']} holds a password"
