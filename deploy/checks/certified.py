"""TLS inside the walls: the certificate that a callee shows holds the name by which it is called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from deploy.checks.manifests import Pods, Rendered, at, named

# Our own doors (gRPC), and the bus. What speaks plain HTTP inside is kept apart by network policies.
_DOORS = re.compile(r"WATTBOOK_\w+_(?:TARGET|PEERS)")
_HOST = re.compile(r"(?:^|[,@/])([a-z0-9][a-z0-9.-]*):\d+")


def problems(rendered: Rendered) -> Iterator[str]:
    """A line each."""
    for pods in rendered.ours():
        for container in pods.containers:
            told = rendered.settings(container)
            for variable, value in told.items():
                if isinstance(value, str) and _is_tls(variable, value, told):
                    for host in _HOST.findall(value):
                        yield from _held(rendered, pods, host)
            if told.get("PGSSLMODE") == "verify-full":
                yield from _postgres(rendered, pods, told)


def _is_tls(variable: str, value: str, told: dict[str, object]) -> bool:
    if _DOORS.fullmatch(variable):
        return bool(told.get("WATTBOOK_GRPC_CA_FILE"))
    return variable == "WATTBOOK_BUS_URL" and value.startswith("amqps://")


def _held(rendered: Rendered, caller: Pods, host: str) -> Iterator[str]:
    parts = host.split(".")
    service = parts[1] if len(parts) > 1 and parts[1] in rendered.services() else parts[0]
    for called in {
        pods.name: pods for each in rendered.services().get(service, {}).values() for pods in each
    }:
        names = _names(rendered, called)
        if not any(_matches(host, name) for name in names):
            yield f"{named(caller.doc)}: calls {host}, a name that {called}'s certificate does not hold"


def _names(rendered: Rendered, called: str) -> list[str]:
    """The names in the certificates that pods of ``called`` are given."""
    pods = next(each for each in rendered.pods() if each.name == called)
    secrets = {at(volume, "secret", "secretName") for volume in pods.spec.get("volumes", ())}
    secrets.add(at(pods.doc, "spec", "tls", "secretName"))
    found = [doc for doc in rendered.of("Certificate") if at(doc, "spec", "secretName") in secrets]
    return [name for doc in found for name in at(doc, "spec", "dnsNames", default=())]


def _postgres(rendered: Rendered, caller: Pods, told: dict[str, object]) -> Iterator[str]:
    addresses = [value for name, value in told.items() if name.endswith("_STORE_URL")]
    hosts = [str(told["PGHOST"])] if "PGHOST" in told else []
    hosts += [host for value in addresses for host in _HOST.findall(str(value))]
    for doc in rendered.of("Cluster"):
        names = at(doc, "spec", "certificates", "serverAltDNSNames", default=())
        for host in hosts:
            if host not in names:
                yield f"{named(caller.doc)}: calls {host}, a name that {named(doc)} does not hold"


def _matches(host: str, name: str) -> bool:
    if name.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return host == name
