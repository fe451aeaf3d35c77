"""What KEDA looks at: a queue that is declared, at a broker that it reaches, knows and is let in by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from wattbook.bus.rabbitmq.places import QUEUE_PREFIX
from wattbook.bus.topology import GROUPS

from deploy.checks.manifests import Doc, Pods, Rendered, at, named

KEDA = {"kubernetes.io/metadata.name": "keda"}
QUEUES = frozenset(QUEUE_PREFIX + group.name for group in GROUPS if not group.one_each)


def problems(rendered: Rendered, secrets: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """A line each; ``secrets`` are all there are, with their keys."""
    for doc in rendered.of("ScaledObject"):
        for trigger in at(doc, "spec", "triggers", default=()):
            if trigger["type"] == "rabbitmq":
                yield from (f"{named(doc)}: {problem}" for problem in _queue(rendered, trigger, secrets))


def _queue(rendered: Rendered, trigger: Doc, secrets: Mapping[str, frozenset[str]]) -> Iterator[str]:
    told = trigger["metadata"]
    if told.get("queueName") not in QUEUES:
        yield f"nobody declares the queue {told.get('queueName')}"
    address = urlsplit(told.get("host", ""))
    service, _, namespace = (address.hostname or "").partition(".")
    behind = rendered.services().get(service, {}).get(address.port or 0)
    if not namespace.endswith(".svc"):
        yield f"KEDA, in a namespace of its own, does not find {address.hostname}"
    elif behind is None:
        yield f"there is no Service {service} with port {address.port}"
    else:
        yield from (problem for pods in behind for problem in _lets_in(rendered, pods, address.port or 0))
    given = dict(_given(rendered, trigger, secrets))
    wanted = {"username", "password"} | ({"tls", "ca"} if address.scheme == "amqps" else set())
    for parameter in sorted(wanted - {name for name, is_there in given.items() if is_there}):
        yield f"KEDA is not told {parameter}"


def _given(
    rendered: Rendered, trigger: Doc, secrets: Mapping[str, frozenset[str]]
) -> Iterator[tuple[str, bool]]:
    """What its TriggerAuthentication hands over, and whether that is there."""
    found = rendered.find("TriggerAuthentication", at(trigger, "authenticationRef", "name", default=""))
    for each in at(found, "spec", "secretTargetRef", default=()):
        yield each["parameter"], each["key"] in secrets.get(each["name"], ())
    for each in at(found, "spec", "configMapTargetRef", default=()):
        config = rendered.find("ConfigMap", each["name"])
        yield each["parameter"], bool(config) and each["key"] in at(config, "data", default={})


def _lets_in(rendered: Rendered, pods: Pods, port: int) -> Iterator[str]:
    for doc in rendered.of("NetworkPolicy"):
        chosen = at(doc, "spec", "podSelector", "matchLabels", default={})
        if not chosen.items() <= pods.labels.items():
            continue
        for rule in at(doc, "spec", "ingress", default=()):
            if port in {each.get("port") for each in rule.get("ports", ())} and any(
                at(peer, "namespaceSelector", "matchLabels") == KEDA for peer in rule.get("from", ())
            ):
                return
    yield f"no policy lets KEDA in on {port} of {pods.name}"
