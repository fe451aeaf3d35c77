"""Resources of operators, whose schemas Kubernetes' own do not hold: what each must and may say at its top.

From the operators' published references, at the versions of VERSIONS.
"""

from __future__ import annotations

from collections.abc import Iterator

from deploy.checks.manifests import Doc, Rendered, at, named

# As docs/operations.md names them, too: these or newer.
VERSIONS = {
    "cert-manager": "1.19",
    "CloudNativePG": "1.27",
    "its Barman Cloud plugin": "0.9",
    "RabbitMQ's cluster operator": "2.16",
    "its topology operator": "1.20.2",
    "Gateway API": "1.4",
    "External Secrets": "0.20",
    "KEDA": "2.18",
}

# (apiVersion, kind): the keys of spec that must be there, those that may.
KNOWN: dict[tuple[str, str], tuple[str, str]] = {
    ("postgresql.cnpg.io/v1", "Cluster"): (
        "instances storage",
        "imageName enableSuperuserAccess superuserSecret primaryUpdateStrategy primaryUpdateMethod"
        " inheritedMetadata certificates managed postgresql affinity resources walStorage plugins bootstrap"
        " externalClusters monitoring",
    ),
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): (
        "schedule cluster",
        "backupOwnerReference method pluginConfiguration",
    ),
    ("barmancloud.cnpg.io/v1", "ObjectStore"): ("configuration", "retentionPolicy"),
    ("rabbitmq.com/v1beta1", "RabbitmqCluster"): (
        "",
        "replicas image terminationGracePeriodSeconds tls persistence resources affinity rabbitmq override",
    ),
    ("rabbitmq.com/v1beta1", "Vhost"): ("name rabbitmqClusterReference", "defaultQueueType"),
    ("rabbitmq.com/v1beta1", "Exchange"): (
        "name rabbitmqClusterReference",
        "vhost type durable autoDelete arguments",
    ),
    ("rabbitmq.com/v1beta1", "User"): ("rabbitmqClusterReference", "tags importCredentialsSecret"),
    ("rabbitmq.com/v1beta1", "Permission"): (
        "vhost permissions rabbitmqClusterReference",
        "user userReference",
    ),
    ("rabbitmq.com/v1beta1", "TopicPermission"): (
        "vhost permissions rabbitmqClusterReference",
        "user userReference",
    ),
    ("cert-manager.io/v1", "Issuer"): ("", "selfSigned ca acme"),
    ("cert-manager.io/v1", "Certificate"): (
        "secretName issuerRef",
        "isCA commonName duration renewBefore privateKey dnsNames",
    ),
    ("external-secrets.io/v1", "ExternalSecret"): ("secretStoreRef data", "refreshInterval target"),
    ("keda.sh/v1alpha1", "ScaledObject"): (
        "scaleTargetRef triggers",
        "minReplicaCount maxReplicaCount pollingInterval cooldownPeriod advanced fallback",
    ),
    ("keda.sh/v1alpha1", "TriggerAuthentication"): ("", "secretTargetRef configMapTargetRef env"),
    ("gateway.networking.k8s.io/v1", "Gateway"): ("gatewayClassName listeners", "addresses"),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): ("parentRefs rules", "hostnames"),
}


def is_custom(doc: Doc) -> bool:
    """Whether a document is of an operator's kind."""
    api = str(doc.get("apiVersion", ""))
    group = api.partition("/")[0] if "/" in api else ""
    return (api, doc.get("kind")) in KNOWN or ("." in group and not group.endswith(".k8s.io"))


def problems(rendered: Rendered) -> Iterator[str]:
    """A line each."""
    for doc in rendered.docs:
        if not is_custom(doc):
            continue
        kind = (str(doc.get("apiVersion")), str(doc.get("kind")))
        if kind not in KNOWN:
            yield f"{named(doc)}: nothing here knows {kind[0]} {kind[1]}"
            continue
        must, may = (set(text.split()) for text in KNOWN[kind])
        said = set(at(doc, "spec", default={}))
        yield from (f"{named(doc)}: spec says no {key}" for key in sorted(must - said))
        yield from (f"{named(doc)}: spec says {key}, which it may not" for key in sorted(said - must - may))
        cluster = at(doc, "spec", "rabbitmqClusterReference", "name")
        if cluster and rendered.find("RabbitmqCluster", cluster) is None:
            yield f"{named(doc)}: RabbitmqCluster {cluster} is not there"
        exchange = at(doc, "spec", "permissions", "exchange")
        if exchange and exchange not in {at(each, "spec", "name") for each in rendered.of("Exchange")}:
            yield f"{named(doc)}: Exchange {exchange} is not there"
