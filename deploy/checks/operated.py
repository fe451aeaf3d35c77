"""What operators want: labels of secrets that they watch, an archive a history, a budget."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deploy.checks.manifests import Doc, Rendered, at, named

TOPOLOGY = "rabbitmq.com/topology-operator"  # RabbitMQ's topology operator 1.20 refuses secrets without it
RELOAD = "cnpg.io/reload"  # CloudNativePG looks again when such a secret changes
RESERVED = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/component",
    "app.kubernetes.io/managed-by",
    "cnpg.io/",
)
PLUGIN = "barman-cloud.cloudnative-pg.io"

Labels = Mapping[str, Mapping[str, str]]
Archive = tuple[object, object]


def problems(rendered: Rendered, secrets: Mapping[str, frozenset[str]], given: Labels) -> Iterator[str]:
    """A line each; ``secrets`` are all there are, ``given`` the labels of those made elsewhere."""
    labels = {**given, **_labels(rendered)}
    for doc in rendered.of("User"):
        yield from _watched(doc, at(doc, "spec", "importCredentialsSecret", "name"), TOPOLOGY, labels)
    for doc in rendered.of("RabbitmqCluster"):
        name = {"app.kubernetes.io/name": doc["metadata"]["name"]}
        budgets = rendered.of("PodDisruptionBudget")
        if not any(at(each, "spec", "selector", "matchLabels") == name for each in budgets):
            yield f"{named(doc)}: has no PodDisruptionBudget, and its operator makes none"
    for doc in rendered.of("Cluster"):
        yield from _watched(doc, at(doc, "spec", "superuserSecret", "name"), RELOAD, labels)
        yield from (f"{named(doc)}: {problem}" for problem in _cluster(rendered, doc))
    for doc in rendered.of("ScheduledBackup"):
        cluster = rendered.find("Cluster", at(doc, "spec", "cluster", "name", default=""))
        if cluster is None or written(rendered, cluster) is None:
            yield f"{named(doc)}: backs up a cluster that has no archive"
    for doc in rendered.of("ObjectStore"):
        for each in at(doc, "spec", "configuration", "s3Credentials", default={}).values():
            if each["key"] not in secrets.get(each["name"], ()):
                yield f"{named(doc)}: Secret {each['name']} with a key {each['key']} is not there"


def written(rendered: Rendered, cluster: Doc) -> Archive | None:
    """(address, folder) where a cluster's log and backups go; None: nowhere."""
    for plugin in at(cluster, "spec", "plugins", default=()):
        if plugin["name"] == PLUGIN and plugin.get("isWALArchiver"):
            return _archive(rendered, plugin, cluster["metadata"]["name"])
    return None


def _cluster(rendered: Rendered, doc: Doc) -> Iterator[str]:
    for label in at(doc, "spec", "inheritedMetadata", "labels", default={}):
        if label.startswith(RESERVED):
            yield f"hands down the label {label}, which is its operator's"
    target = written(rendered, doc)
    if target is not None and target[0] is None:
        yield "archives to an ObjectStore that is not there"
    source = at(doc, "spec", "bootstrap", "recovery", "source")
    if source is None:
        return
    others = {each["name"]: each for each in at(doc, "spec", "externalClusters", default=())}
    before = _archive(rendered, others[source]["plugin"], source) if source in others else (None, None)
    if before[0] is None:
        yield f"recovers from {source}, which has no ObjectStore here"
    elif before == target:
        yield f"would write into the archive that it recovers from: {before[0]}, {before[1]}"


def _archive(rendered: Rendered, plugin: Doc, cluster: str) -> Archive:
    told = plugin.get("parameters", {})
    store = rendered.find("ObjectStore", told.get("barmanObjectName", ""))
    return at(store, "spec", "configuration", "destinationPath"), told.get("serverName", cluster)


def _labels(rendered: Rendered) -> Labels:
    targets = [at(doc, "spec", "target", default={}) for doc in rendered.of("ExternalSecret")]
    return {each["name"]: at(each, "template", "metadata", "labels", default={}) for each in targets}


def _watched(doc: Doc, secret: str | None, label: str, labels: Labels) -> Iterator[str]:
    if secret and labels.get(secret, {}).get(label) != "true":
        yield f"{named(doc)}: Secret {secret} is not labelled {label}, so its changes are not seen"
