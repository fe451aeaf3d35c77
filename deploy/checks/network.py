"""Who talks to whom: every address in the settings has a Service, and policies let it through, both ways.

So has whatever Prometheus asks and tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from deploy.checks.manifests import Pods, Rendered, at, named, selects

_ADDRESS = re.compile(r"(?:^|[/@,])([a-z][a-z0-9-]*(?:\.[a-z0-9-]+)*):(\d+)(?![\d.])")
_DATABASE = re.compile(r"databases?|migrate-")


def calls(rendered: Rendered, pods: Pods) -> Iterator[tuple[str, int]]:
    """(Service, port) of all inside the cluster that the pods' settings name and their service reads."""
    headless = {
        doc["metadata"]["name"] for doc in rendered.of("Service") if at(doc, "spec", "clusterIP") == "None"
    }
    for container in pods.containers:
        for name, value in rendered.settings(container).items():
            if name.endswith("_LISTEN") or not isinstance(value, str) or not _reads(pods, name):
                continue
            for host, port in _ADDRESS.findall(value):
                pod, _, service = host.partition(".")
                if service in headless:  # one pod of a StatefulSet
                    yield service, int(port)
                elif not service or service.endswith(".svc.cluster.local"):
                    yield pod, int(port)


def scrapes(rendered: Rendered, pods: Pods) -> Iterator[tuple[str, int]]:
    """(Service, port) of all that a Prometheus gets its metrics from and sends its alerts to."""
    for volume in pods.spec.get("volumes", ()):
        config = rendered.find("ConfigMap", at(volume, "configMap", "name", default=""))
        text = at(config, "data", "prometheus.yaml") if config else None
        told = yaml.safe_load(text) if text else {}
        for job in (*told.get("scrape_configs", ()), *at(told, "alerting", "alertmanagers", default=())):
            for found in job.get("static_configs", ()):
                for host, _, port in (target.partition(":") for target in found["targets"]):
                    yield host, int(port)
            for found in job.get("dns_sd_configs", ()):
                yield from ((host, found["port"]) for host in found["names"])


def _reads(pods: Pods, name: str) -> bool:
    """Shared settings name more than one service reads; telemetry's address is read by all but jobs."""
    if name.startswith("BUS_"):
        return False
    if name == "WATTBOOK_EXCHANGE_URLS":
        return pods.name == "ingest-service"
    if name == "WATTBOOK_MARKET_DATA_URL":
        return pods.name == "pricing-service"
    if name == "WATTBOOK_BANK_URL":
        return pods.name == "cash-service"
    return name != "OTEL_EXPORTER_OTLP_ENDPOINT" or not pods.is_job


def problems(rendered: Rendered) -> Iterator[str]:
    """A line each."""
    services = rendered.services()
    policies = rendered.of("NetworkPolicy")
    denies = {
        kind for doc in policies for kind in at(doc, "spec", "policyTypes", default=()) if _takes_all(doc)
    }
    if denies != {"Ingress", "Egress"}:
        yield "NetworkPolicy/default-deny: not everything is denied first"
    for doc in policies:
        yield from _own_pods(rendered, doc)
    for pods in rendered.ours():
        for host, port in sorted({*calls(rendered, pods), *scrapes(rendered, pods)}):
            if host not in services:
                yield f"{named(pods.doc)}: calls {host}:{port}, but there is no Service {host}"
            elif port not in services[host]:
                yield f"{named(pods.doc)}: calls {host}:{port}, but Service {host} has no such port"
            else:
                yield from _may(
                    rendered, pods, services[host][port], f"{host}:{port}", _target(rendered, host, port)
                )


def _takes_all(doc: object) -> bool:
    empty = at(doc, "spec", "podSelector", default={}) == {}
    return empty and not at(doc, "spec", "ingress") and not at(doc, "spec", "egress")


def _own_pods(rendered: Rendered, doc: object) -> Iterator[str]:
    selector = at(doc, "spec", "podSelector", default={})
    if selector and not rendered.matching(selector):
        yield f"{named(doc)}: its selector takes no pods"  # type: ignore[arg-type]
    for direction, field in (("ingress", "from"), ("egress", "to")):
        for rule in at(doc, "spec", direction, default=()):
            if field in rule and not rule[field]:
                yield f"{named(doc)}: a rule with an empty list of peers lets everybody through"  # type: ignore[arg-type]


def _target(rendered: Rendered, host: str, port: int) -> int:
    service = rendered.find("Service", host)
    for each in at(service, "spec", "ports", default=()) if service else ():
        if each["port"] == port:
            target = each.get("targetPort", port)
            behind = rendered.matching({"matchLabels": at(service, "spec", "selector", default={})})
            return next((pods.ports().get(target, port) for pods in behind), port)
    return port


def _may(rendered: Rendered, caller: Pods, called: list[Pods], what: str, port: int) -> Iterator[str]:
    for pods in called:
        if not _lets(rendered, "egress", caller, pods, port):
            yield f"{named(caller.doc)}: no policy lets it call {what}"
        if not _lets(rendered, "ingress", pods, caller, port):
            yield f"{named(pods.doc)}: no policy lets {caller.name} in on {port}"


def _lets(rendered: Rendered, direction: str, own: Pods, peer: Pods, port: int) -> bool:
    for doc in rendered.of("NetworkPolicy"):
        if not selects(at(doc, "spec", "podSelector", default={}), own.labels):
            continue
        for rule in at(doc, "spec", direction, default=()):
            ports = {each.get("port") for each in rule.get("ports", ())}
            peers = rule.get("from" if direction == "ingress" else "to", ())
            if (not ports or port in ports) and any(_is_peer(each, peer) for each in peers):
                return True
    return False


def _is_peer(each: object, peer: Pods) -> bool:
    selector = at(each, "podSelector")
    return selector is not None and at(each, "namespaceSelector") is None and selects(selector, peer.labels)
