"""Whatever one document names in another must be there: ConfigMaps, Secrets, Services, ports, targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from deploy.checks.manifests import Doc, Pods, Rendered, at, named, quantity

CERTIFICATE_KEYS = frozenset({"tls.crt", "tls.key", "ca.crt"})
SCALED = {
    "HorizontalPodAutoscaler": ("minReplicas", "maxReplicas"),
    "ScaledObject": ("minReplicaCount", "maxReplicaCount"),
}


def problems(rendered: Rendered, given: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """A line each; ``given`` are the secrets (and their keys) that are made outside of the overlay."""
    yield from _twice(rendered)
    secrets = secrets_of(rendered, given)
    for pods in rendered.ours():
        yield from _mentioned(rendered, pods, secrets)
        yield from _mounts(pods)
        yield from _account(rendered, pods)
    for doc in rendered.of("Deployment", "StatefulSet"):
        yield from _selector(doc)
    for doc in rendered.of("StatefulSet"):
        service = rendered.find("Service", at(doc, "spec", "serviceName", default=""))
        if service is None:
            yield f"{named(doc)}: its Service {at(doc, 'spec', 'serviceName')} is not there"
    for doc in rendered.of("Service"):
        yield from _service(rendered, doc)
    for doc in rendered.of("PodDisruptionBudget"):
        yield from _budget(rendered, doc)
    for doc in rendered.of(*SCALED):
        yield from _scaled(rendered, doc)
    yield from _certificates(rendered)
    yield from _routes(rendered)


def secrets_of(rendered: Rendered, given: Mapping[str, frozenset[str]]) -> Mapping[str, frozenset[str]]:
    """Every secret there is, with its keys."""
    return {**given, **dict(_made_secrets(rendered))}


def _twice(rendered: Rendered) -> Iterator[str]:
    count = Counter((doc.get("apiVersion"), named(doc)) for doc in rendered.docs)
    yield from (f"{name}: is there {times} times" for (_, name), times in count.items() if times > 1)


def _made_secrets(rendered: Rendered) -> Iterator[tuple[str, frozenset[str]]]:
    for doc in rendered.of("ExternalSecret"):
        keys = frozenset(each["secretKey"] for each in at(doc, "spec", "data", default=()))
        yield at(doc, "spec", "target", "name", default=doc["metadata"]["name"]), keys
    for doc in rendered.of("Certificate"):
        yield at(doc, "spec", "secretName", default=""), CERTIFICATE_KEYS
    for doc in rendered.of("Cluster"):
        yield f"{doc['metadata']['name']}-ca", frozenset({"ca.crt"})


def _mentioned(rendered: Rendered, pods: Pods, secrets: Mapping[str, frozenset[str]]) -> Iterator[str]:
    for kind, name, keys in _mentions(pods):
        if kind == "Secret":
            there = secrets.get(name)
        elif kind == "ConfigMap":
            found = rendered.find("ConfigMap", name)
            there = frozenset(found.get("data", {})) if found else None
        else:
            there = frozenset() if rendered.find(kind, name) else None
        if there is None:
            yield f"{named(pods.doc)}: {kind} {name} is not there"
        else:
            yield from (f"{named(pods.doc)}: {kind} {name} has no key {key}" for key in sorted(keys - there))


def _mentions(pods: Pods) -> Iterator[tuple[str, str, frozenset[str]]]:
    for container in pods.containers:
        for source in container.get("envFrom", ()):
            yield from _referred(source, {"configMapRef": "ConfigMap", "secretRef": "Secret"})
        for each in container.get("env", ()):
            kinds = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}
            yield from _referred(each.get("valueFrom", {}), kinds)
    for volume in pods.spec.get("volumes", ()):
        yield from _volume_mentions(volume)
        for source in at(volume, "projected", "sources", default=()):
            yield from _volume_mentions(source)


def _referred(source: Doc, kinds: Mapping[str, str]) -> Iterator[tuple[str, str, frozenset[str]]]:
    for field, kind in kinds.items():
        if field in source and not source[field].get("optional"):
            key = source[field].get("key")
            yield kind, source[field]["name"], frozenset({key} if key else ())


def _volume_mentions(volume: Doc) -> Iterator[tuple[str, str, frozenset[str]]]:
    for field, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        if field in volume:
            told = volume[field]
            if told.get("optional"):
                continue
            keys = frozenset(item["key"] for item in told.get("items", ()))
            yield kind, told.get("secretName") or told.get("name"), keys
    if "persistentVolumeClaim" in volume:
        yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], frozenset()


def _mounts(pods: Pods) -> Iterator[str]:
    claims = at(pods.doc, "spec", "volumeClaimTemplates", default=())
    there = {volume["name"] for volume in pods.spec.get("volumes", ())}
    there |= {claim["metadata"]["name"] for claim in claims}
    mounts = [mount for container in pods.containers for mount in container.get("volumeMounts", ())]
    used = {mount["name"] for mount in mounts}
    for name in sorted(used - there):
        yield f"{named(pods.doc)}: mounts {name}, which is no volume of it"
    for name in sorted(there - used):
        yield f"{named(pods.doc)}: volume {name} is mounted nowhere"
    for claim in claims:
        if quantity(at(claim, "spec", "resources", "requests", "storage", default="")) is None:
            yield f"{named(pods.doc)}: claim {claim['metadata']['name']} asks for no storage"


def _account(rendered: Rendered, pods: Pods) -> Iterator[str]:
    name = pods.spec.get("serviceAccountName", "default")
    account = rendered.find("ServiceAccount", name)
    if account is None:
        yield f"{named(pods.doc)}: ServiceAccount {name} is not there"
    elif account.get("automountServiceAccountToken") is not False:
        yield f"ServiceAccount/{name}: hands out a token"


def _selector(doc: Doc) -> Iterator[str]:
    wanted = at(doc, "spec", "selector", "matchLabels", default={})
    labels = at(doc, "spec", "template", "metadata", "labels", default={})
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        yield f"{named(doc)}: its selector does not take its own pods"


def _service(rendered: Rendered, doc: Doc) -> Iterator[str]:
    behind = rendered.matching({"matchLabels": at(doc, "spec", "selector", default={})})
    if not behind or not at(doc, "spec", "selector"):
        yield f"{named(doc)}: its selector takes no pods"
        return
    for port in at(doc, "spec", "ports", default=()):
        target = port.get("targetPort", port["port"])
        for pods in behind:
            if target not in pods.ports():
                yield f"{named(doc)}: port {port['port']} goes to {target}, which {pods.name} does not have"


def _budget(rendered: Rendered, doc: Doc) -> Iterator[str]:
    behind = rendered.matching(at(doc, "spec", "selector", default={}))
    if not behind or not at(doc, "spec", "selector"):
        yield f"{named(doc)}: its selector takes no pods"
    replicas = min((at(pods.doc, "spec", "replicas", default=2) for pods in behind), default=0)
    least = at(doc, "spec", "minAvailable", default=0)
    if at(doc, "spec", "maxUnavailable", default=1) in {0, "0%"} or (
        isinstance(least, int) and 0 < replicas <= least
    ):
        yield f"{named(doc)}: lets no pod go, so no node can be emptied"


def _scaled(rendered: Rendered, doc: Doc) -> Iterator[str]:
    target = at(doc, "spec", "scaleTargetRef", default={})
    found = rendered.find(target.get("kind", "Deployment"), target.get("name", ""))
    least, most = (at(doc, "spec", field, default=1) for field in SCALED[doc["kind"]])
    if found is None:
        yield f"{named(doc)}: its target {target.get('name')} is not there"
    elif "replicas" in found["spec"]:
        yield f"{named(doc)}: {named(found)} also says how many replicas it has, and undoes it at each update"
    if least > most:
        yield f"{named(doc)}: at least {least} but at most {most}"
    if least < 2:
        yield f"{named(doc)}: may leave fewer than two replicas"


def _certificates(rendered: Rendered) -> Iterator[str]:
    services = set(rendered.services())
    for doc in rendered.of("Certificate"):
        issuer = at(doc, "spec", "issuerRef", default={})
        kind = issuer.get("kind", "Issuer")
        if kind == "Issuer" and rendered.find("Issuer", issuer.get("name", "")) is None:
            yield f"{named(doc)}: Issuer {issuer.get('name')} is not there"
        name = doc["metadata"]["name"]
        if name in services and name not in at(doc, "spec", "dnsNames", default=()):
            yield f"{named(doc)}: does not hold the name {name} that its callers ask for"


def _routes(rendered: Rendered) -> Iterator[str]:
    services = rendered.services()
    for doc in rendered.of("HTTPRoute"):
        for parent in at(doc, "spec", "parentRefs", default=()):
            gate = rendered.find("Gateway", parent["name"])
            sections = {each["name"] for each in at(gate, "spec", "listeners", default=())} if gate else set()
            if parent.get("sectionName") not in sections:
                yield f"{named(doc)}: Gateway {parent['name']} has no listener {parent.get('sectionName')}"
        for rule in at(doc, "spec", "rules", default=()):
            for back in rule.get("backendRefs", ()):
                if back.get("port") not in services.get(back["name"], {}):
                    yield f"{named(doc)}: Service {back['name']} has no port {back.get('port')}"
