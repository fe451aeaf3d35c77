"""How pods are to run: hardened, bounded, probed, spread, and leaving in order."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from deploy.checks.manifests import Doc, Pods, Rendered, at, named, quantity

ROOT = Path(__file__).parents[2]
STOP_S = 10  # what our own processes need at most to leave
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
ON_OTHERS = re.compile(r"/readyz|/-/ready")
PROBED = re.compile(r"(grpcs?|http|tcp)://127\.0\.0\.1:(\d+)(/\S*)?")


@cache
def our_images() -> frozenset[str]:
    """The names of the images that are built here."""
    listed = subprocess.run(
        [ROOT / "deploy/image/environments", "list"], capture_output=True, text=True, check=True
    )
    return frozenset(listed.stdout.split())


def problems(rendered: Rendered, *, single: bool) -> Iterator[str]:
    """A line each; ``single``: a place where one replica is enough."""
    for doc in rendered.of("Namespace"):
        if at(doc, "metadata", "labels", "pod-security.kubernetes.io/enforce") != "restricted":
            yield f"{named(doc)}: does not enforce restricted Pod Security"
    for pods in rendered.ours():
        yield from (f"{named(pods.doc)}: {problem}" for problem in _pod(pods))
        for container in pods.containers:
            yield from (f"{named(pods.doc)}: {problem}" for problem in _container(pods, container))
        yield from (f"{named(pods.doc)}: {problem}" for problem in _life(pods))
        alone = at(pods.doc, "spec", "replicas") == 1
        if alone and rendered.settings(pods.containers[0]).get("WATTBOOK_DRAIN_S", "0") != "0":
            yield f"{named(pods.doc)}: is alone and has nowhere to send its callers while it leaves"
        if not single:
            yield from (f"{named(pods.doc)}: {problem}" for problem in _several(rendered, pods))
    for doc in rendered.of("RabbitmqCluster"):
        yield from (f"{named(doc)}: {problem}" for problem in _operated(doc))


def _operated(doc: Doc) -> Iterator[str]:
    """What restricted Pod Security asks of pods whose rest an operator writes, by names of its own."""
    spec = at(doc, "spec", "override", "statefulSet", "spec", "template", "spec", default={})
    yield from _restricted(spec.get("securityContext", {}))
    for field, name in (("initContainers", "setup-container"), ("containers", "rabbitmq")):
        found = next((each for each in spec.get(field, ()) if each["name"] == name), {})
        yield from (f"{name} {problem}" for problem in _privileges(found.get("securityContext", {})))


def _restricted(context: Doc) -> Iterator[str]:
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 1) == 0:
        yield "may run as root"
    if at(context, "seccompProfile", "type") != "RuntimeDefault":
        yield "has no seccomp profile"


def _privileges(context: Doc) -> Iterator[str]:
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield "may gain privileges"
    if at(context, "capabilities", "drop") != ["ALL"] or at(context, "capabilities", "add"):
        yield "keeps capabilities"


def _pod(pods: Pods) -> Iterator[str]:
    yield from _restricted(pods.spec.get("securityContext", {}))
    if pods.spec.get("automountServiceAccountToken") is not False:
        yield "mounts a service account's token"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pods.spec.get(field):
            yield f"uses the node's own: {field}"
    for volume in pods.spec.get("volumes", ()):
        if "hostPath" in volume:
            yield f"mounts the node's disk: {volume['name']}"
        if "emptyDir" in volume and quantity((volume["emptyDir"] or {}).get("sizeLimit")) is None:
            yield f"volume {volume['name']} has no limit"


def _container(pods: Pods, container: Doc) -> Iterator[str]:
    context = container.get("securityContext", {})
    yield from _privileges(context)
    if context.get("readOnlyRootFilesystem") is not True:
        yield "can write to its root"
    yield from _image(container.get("image", ""))
    yield from _resources(container.get("resources", {}))
    if pods.is_job:
        return
    for kind in PROBES:
        if kind not in container:
            yield f"has no {kind}"
        else:
            yield from (f"{kind}: {problem}" for problem in _probe(kind, container[kind], pods))


def _image(image: str) -> Iterator[str]:
    name, _, tag = image.rpartition("/")[2].partition(":")
    if "@sha256:" not in image and tag in {"", "latest"}:
        yield f"image {image} has no tag of its own"
    folder = image.rpartition("/")[0].rpartition("/")[2]
    if folder == "wattbook" and name not in our_images():
        yield f"image {image} is not one that is built here"


def _resources(resources: Doc) -> Iterator[str]:
    for kind, what in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory")):
        if what not in resources.get(kind, {}):
            yield f"{kind} no {what}" if kind == "requests" else f"has no limit of {what}"
    for kind, said in resources.items():
        for what, text in said.items():
            if quantity(text) is None:
                yield f"{kind} {text} of {what}, which is no quantity"
    asked, most = (quantity(at(resources, kind, "memory", default="0")) for kind in ("requests", "limits"))
    if asked and most and asked > most:
        yield "requests more memory than its limit"
    if (quantity(at(resources, "requests", "cpu", default="0")) or 0) > 16:
        yield "requests more processors than a node has"


def _probe(kind: str, probe: Doc, pods: Pods) -> Iterator[str]:
    ports = pods.ports()
    ways = [way for way in ("grpc", "httpGet", "tcpSocket", "exec") if way in probe]
    if len(ways) != 1:
        yield f"asks in {len(ways)} ways"
        return
    told = probe[ways[0]]
    if ways[0] != "exec" and told.get("port") not in ports:
        yield f"asks port {told.get('port')}, which is not there"
    command = " ".join(at(told, "command", default=())) if ways[0] == "exec" else ""
    asked = PROBED.search(command)
    if "wattbook.probe" in command and asked is None:
        yield "asks nothing"
    if kind != "livenessProbe" or (ways[0] == "exec" and asked is None):
        return
    is_grpc = ways[0] == "grpc" or (asked is not None and asked[1].startswith("grpc"))
    service = told.get("service", "") if ways[0] == "grpc" else (asked[3] or "").strip("/") if asked else ""
    if (is_grpc and service != "live") or ON_OTHERS.search(f"{told.get('path', '')}{command}"):
        yield "depends on others: a restart would not bring them back"


def _life(pods: Pods) -> Iterator[str]:
    grace = pods.spec.get("terminationGracePeriodSeconds", 30)
    for container in pods.containers:
        before = at(container, "lifecycle", "preStop", "sleep", "seconds", default=0)
        if grace < before + STOP_S:
            yield f"is killed after {grace} s, {before} of which it sleeps"
    if pods.is_job:
        if pods.spec.get("restartPolicy") not in {"OnFailure", "Never"}:
            yield "is a job that never ends"
        job = at(pods.doc, "spec", "jobTemplate", "spec") or pods.doc["spec"]
        if job.get("activeDeadlineSeconds") is None:
            yield "is a job without a deadline"


def _several(rendered: Rendered, pods: Pods) -> Iterator[str]:
    image = pods.containers[0].get("image", "").rpartition("/")[2].partition(":")[0]
    if pods.is_job or image not in our_images() - {"sandbox", "cli"}:
        return
    if at(pods.doc, "spec", "replicas", default=2) < 2:
        yield "has one replica"
    if not at(pods.containers[0], "lifecycle", "preStop"):
        yield "leaves before its callers know"
    if at(pods.doc, "spec", "strategy", "rollingUpdate", "maxUnavailable", default=0) != 0:
        yield "takes a replica away before the next is there"
    spread = pods.spec.get("topologySpreadConstraints", ())
    if not any(each["topologyKey"] == "kubernetes.io/hostname" for each in spread):
        yield "may have all replicas on one node"
    for each in spread:
        if each.get("labelSelector", {}).get("matchLabels", {}).items() - pods.labels.items():
            yield "spreads pods that are not its own"
        # A StatefulSet's pods may be bound to their machine by their disks, and wait for it.
        waits = each["whenUnsatisfiable"] == "DoNotSchedule" and pods.doc["kind"] == "Deployment"
        if waits and each.get("nodeTaintsPolicy") != "Honor":
            yield "waits for a drained machine before it goes elsewhere"
    if not any(
        pods in rendered.matching(at(doc, "spec", "selector", default={}))
        for doc in rendered.of("PodDisruptionBudget")
    ):
        yield "has no PodDisruptionBudget"
