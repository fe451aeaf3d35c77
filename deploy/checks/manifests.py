"""What a rendered overlay holds, with the questions that the checks ask of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Doc = Mapping[str, Any]

_UNITS = {"": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|Ki|Mi|Gi|)")


def quantity(text: object) -> float | None:
    """A quantity of Kubernetes as a number; None where it is none."""
    found = _QUANTITY.fullmatch(str(text))
    return float(found[1]) * _UNITS[found[2]] if found else None


def named(doc: Doc) -> str:
    """How a problem names a document."""
    return f"{doc.get('kind')}/{doc.get('metadata', {}).get('name')}"


def at(doc: Any, *path: str, default: Any = None) -> Any:
    """What lies at a path of keys, or ``default``."""
    for key in path:
        if not isinstance(doc, Mapping) or key not in doc:
            return default
        doc = doc[key]
    return default if doc is None else doc


@dataclass(frozen=True)
class Pods:
    """The pods of a workload: theirs is what selectors and probes are about."""

    doc: Doc
    spec: Doc
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """Of the workload."""
        return str(self.doc["metadata"]["name"])

    @property
    def is_job(self) -> bool:
        """Whether they run to their end."""
        return self.doc["kind"] in {"Job", "CronJob"}

    @property
    def containers(self) -> Sequence[Doc]:
        """All, the initial ones too."""
        return [*self.spec.get("containers", ()), *self.spec.get("initContainers", ())]

    def ports(self) -> dict[str | int, int]:
        """Container ports by name and by number."""
        found: dict[str | int, int] = {}
        for container in self.containers:
            for port in container.get("ports", ()):
                found[port["containerPort"]] = port["containerPort"]
                if "name" in port:
                    found[port["name"]] = port["containerPort"]
        return found


class Rendered:
    """All documents of an overlay."""

    def __init__(self, docs: Sequence[Doc]) -> None:
        """Index them."""
        self.docs = [doc for doc in docs if doc]

    def of(self, *kinds: str) -> list[Doc]:
        """Documents of these kinds."""
        return [doc for doc in self.docs if doc.get("kind") in kinds]

    def find(self, kind: str, name: str) -> Doc | None:
        """One document."""
        return next((doc for doc in self.of(kind) if doc["metadata"]["name"] == name), None)

    def pods(self) -> list[Pods]:
        """Every workload's, those of the engines' operators too (their containers are not ours to see)."""
        found = []
        for doc in self.of("Deployment", "StatefulSet", "Job", "CronJob", "DaemonSet"):
            template = at(doc, "spec", "jobTemplate", "spec", "template") or at(doc, "spec", "template")
            if at(template, "spec"):
                found.append(Pods(doc, template["spec"], at(template, "metadata", "labels", default={})))
        for doc, ports in self._operated():
            container = {"ports": [{"containerPort": port} for port in ports]}
            found.append(Pods(doc, {"containers": [container]}, _labels(doc)))
        return found

    def ours(self) -> list[Pods]:
        """Pods whose containers are written here."""
        return [pods for pods in self.pods() if pods.doc["kind"] not in {"Cluster", "RabbitmqCluster"}]

    def _operated(self) -> Iterator[tuple[Doc, Sequence[int]]]:
        for doc in self.of("Cluster"):
            yield doc, (5432, 8000, 9187)
        for doc in self.of("RabbitmqCluster"):
            yield doc, (*_rabbitmq_ports(doc), 4369, 25672)

    def matching(self, selector: Doc) -> list[Pods]:
        """Pods that a label selector takes."""
        return [pods for pods in self.pods() if selects(selector, pods.labels)]

    def services(self) -> dict[str, dict[int, list[Pods]]]:
        """By name: port → the pods behind it, those that operators make too."""
        found: dict[str, dict[int, list[Pods]]] = {}
        for doc in self.of("Service"):
            behind = self.matching({"matchLabels": at(doc, "spec", "selector", default={})})
            found[doc["metadata"]["name"]] = {
                port["port"]: behind for port in at(doc, "spec", "ports", default=())
            }
        for doc in self.of("Cluster"):
            behind = self.matching({"matchLabels": _labels(doc)})
            for more in at(doc, "spec", "managed", "services", "additional", default=()):
                found[more["serviceTemplate"]["metadata"]["name"]] = {5432: behind}
        for doc in self.of("RabbitmqCluster"):
            name = doc["metadata"]["name"]
            behind = self.matching({"matchLabels": _labels(doc)})
            found[name] = dict.fromkeys(_rabbitmq_ports(doc), behind)
            found[f"{name}-nodes"] = dict.fromkeys(_rabbitmq_ports(doc), behind)  # each node by its address
        return found

    def settings(self, container: Doc) -> dict[str, Any]:
        """A container's environment by name: the text, or a mapping where it comes from elsewhere."""
        found: dict[str, Any] = {}
        for source in container.get("envFrom", ()):
            config = self.find("ConfigMap", at(source, "configMapRef", "name", default=""))
            found |= at(config, "data", default={}) if config else {}
        for each in container.get("env", ()):
            found[each["name"]] = self._value(each)
        return {name: self._expanded(value, found) for name, value in found.items()}

    def _value(self, each: Doc) -> Any:
        reference = at(each, "valueFrom", "configMapKeyRef")
        if reference:
            config = self.find("ConfigMap", reference["name"])
            return at(config, "data", reference["key"], default="") if config else ""
        return each.get("value", each.get("valueFrom", ""))

    def _expanded(self, value: Any, known: Mapping[str, Any]) -> Any:
        if not isinstance(value, str):
            return value
        return re.sub(r"\$\((\w+)\)", lambda found: str(known.get(found[1], found[0])), value)


def _labels(doc: Doc) -> dict[str, str]:
    """By which an operator's pods are found; CloudNativePG's are all named ``postgresql``."""
    if doc["kind"] == "Cluster":
        return {"cnpg.io/cluster": doc["metadata"]["name"], "cnpg.io/podRole": "instance"}
    return {"app.kubernetes.io/name": doc["metadata"]["name"]}


def _rabbitmq_ports(doc: Doc) -> tuple[int, ...]:
    """AMQP, management, metrics: what its operator opens, without TLS only where that is not switched off."""
    with_tls = (5671, 15671, 15691) if at(doc, "spec", "tls", "secretName") else ()
    without = () if at(doc, "spec", "tls", "disableNonTLSListeners") else (5672, 15672, 15692)
    return (*with_tls, *without)


def selects(selector: Doc, labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes these labels; an empty one takes all."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or ():
        inside = labels.get(rule["key"]) in rule.get("values", ())
        if {"In": not inside, "NotIn": inside, "Exists": rule["key"] not in labels}.get(
            rule["operator"], True
        ):
            return False
    return True
