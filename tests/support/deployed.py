"""What ``deploy/k8s/base`` says of each workload: its settings, secrets, probes and stop."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
BASE = K8S / "base"
_POD_INDEX = "metadata.labels['apps.kubernetes.io/pod-index']"
_REFERENCE = re.compile(r"\$\((\w+)\)")

SecretOf = Callable[[str, str], str]
"""The value of a secret by its name and key."""


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or Job with one container."""

    kind: str
    name: str
    spec: Mapping[str, Any]

    @property
    def pod(self) -> Mapping[str, Any]:
        return self.spec["template"]["spec"]

    @property
    def container(self) -> Mapping[str, Any]:
        return self.pod["containers"][0]

    @property
    def replicas(self) -> int:
        return int(self.spec["replicas"])

    @property
    def min_ready_s(self) -> float:
        return float(self.spec["minReadySeconds"])

    @property
    def grace_s(self) -> float:
        """From the pod's deletion to its ``kill -9``, the preStop hook included."""
        return float(self.pod["terminationGracePeriodSeconds"])

    @property
    def pre_stop_s(self) -> float:
        return float(self.container["lifecycle"]["preStop"]["sleep"]["seconds"])

    @property
    def surges(self) -> bool:
        """Whether a new pod is there before an old one goes; a StatefulSet's name is taken until then."""
        if self.kind == "StatefulSet":
            return False
        rolling = self.spec["strategy"]["rollingUpdate"]
        assert rolling == {"maxSurge": 1, "maxUnavailable": 0}, "the fleet knows no other way"
        return True

    def readiness(self, address: str) -> str:
        """Its readiness probe as :mod:`wattbook.probe` puts it to a pod at ``address``."""
        probe = self.container["readinessProbe"]
        if "grpc" in probe:
            return f"grpc://{address}:{probe['grpc']['port']}/{probe['grpc'].get('service', '')}"
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        return f"http://{address}:{ports[probe['httpGet']['port']]}{probe['httpGet']['path']}"

    @property
    def probe_every_s(self) -> float:
        return float(self.container["readinessProbe"]["periodSeconds"])

    @property
    def failures_allowed(self) -> int:
        return int(self.container["readinessProbe"]["failureThreshold"])

    def environment(
        self, settings: Mapping[str, str], secret_of: SecretOf, *, number: int = 0
    ) -> dict[str, str]:
        """The variables of its ``number``-th pod as Kubernetes puts them together.

        ``settings`` are those of the ConfigMap.
        """
        found = dict(settings) if "envFrom" in self.container else {}
        for each in self.container.get("env", ()):
            source = each.get("valueFrom", {})
            if "secretKeyRef" in source:
                value = secret_of(source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
            elif "configMapKeyRef" in source:
                value = settings[source["configMapKeyRef"]["key"]]
            elif "fieldRef" in source:
                assert source["fieldRef"]["fieldPath"] == _POD_INDEX, "no other field is known"
                value = str(number)
            else:
                value = _REFERENCE.sub(lambda match: found[match[1]], each["value"])
            found[each["name"]] = value
        return found


def workloads() -> Iterator[Workload]:
    """All of the base, in the files' order."""
    for file in sorted(BASE.glob("*/*.yaml")):
        for found in yaml.safe_load_all(file.read_text()):
            if found and found["kind"] in {"Deployment", "StatefulSet", "Job"}:
                yield Workload(found["kind"], found["metadata"]["name"], found["spec"])


@cache
def workload(name: str) -> Workload:
    """The one of that name."""
    return next(each for each in workloads() if each.name == name)


def settings() -> dict[str, str]:
    """The ConfigMap ``settings`` of the base, with what the sandbox's component adds."""
    found: dict[str, str] = {}
    for folder in (BASE / "settings", K8S / "components" / "sandbox"):
        (made,) = yaml.safe_load((folder / "kustomization.yaml").read_text())["configMapGenerator"]
        found |= dict(line.split("=", 1) for line in made["literals"])
    return found
