"""Every overlay is sound, and the checks find what is not: a file a defect in ``defects/``."""

from __future__ import annotations

import copy
import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks import custom, lint, operated
from deploy.checks.manifests import Rendered, named
from deploy.k8s import secrets

DEFECTS = sorted((Path(__file__).parent / "defects").glob("*.yaml"))
OVERLAYS = ("local", "staging", "production")


@cache
def rendered(overlay: str) -> list[Any]:
    return lint.render(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_has_no_problem(overlay: str) -> None:
    assert lint.problems(rendered(overlay), overlay) == []


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_patch_of_an_overlay_hits_nothing(overlay: str) -> None:
    assert list(lint.source_problems(overlay, rendered(overlay))) == []


# What the API server lets nobody change, by kind; of a StatefulSet all but the named.
UNCHANGING = {"Job": ("template", "selector", "completions"), "Deployment": ("selector",)}
CHANGING_STATEFUL = {"replicas", "template", "updateStrategy", "minReadySeconds"}


def unchanging(doc: Any) -> Any:
    spec = doc.get("spec", {})
    if doc["kind"] == "StatefulSet":
        return {name: value for name, value in spec.items() if name not in CHANGING_STATEFUL}
    if doc["kind"] in {"ConfigMap", "Secret"} and doc.get("immutable"):
        return doc["data"]
    return {name: spec.get(name) for name in UNCHANGING.get(doc["kind"], ())}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_second_sync_with_another_release_and_setting_replaces_what_it_cannot_change(
    overlay: str, tmp_path: Path
) -> None:
    services = (
        "gateway",
        "trade-service",
        "report-service",
        "pricing-service",
        "meter-service",
        "cash-service",
        "ingest-service",
        "cli",
    )
    update = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "wattbook",
        "resources": [os.path.relpath(lint.OVERLAYS / overlay, tmp_path)],
        "images": [{"name": name_of(f"wattbook/{each}", overlay), "newTag": "9.9.9"} for each in services],
        "configMapGenerator": [
            {"name": "settings", "behavior": "merge", "literals": ["WATTBOOK_LOG_LEVEL=DEBUG"]}
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(update))
    before = {named(doc): doc for doc in rendered(overlay)}
    after = {named(doc): doc for doc in lint.render_folder(tmp_path)}

    changed = [name for name in before.keys() & after if unchanging(before[name]) != unchanging(after[name])]

    migrations = {
        "Job/migrate-gateway",
        "Job/migrate-pricing",
        "Job/migrate-trade",
        "Job/migrate-meter",
        "Job/migrate-cash",
    }
    assert migrations | {"Job/bus"} <= set(changed) <= migrations | {"Job/bus", "Job/databases"}
    waves = {name: int(annotations(doc).get(WAVE, 0)) for name, doc in after.items()}
    for name in changed:
        said = annotations(after[name])
        assert said["argocd.argoproj.io/hook"] == "Sync", name  # one before the sync would wait for secrets
        assert said["argocd.argoproj.io/hook-delete-policy"] == "BeforeHookCreation"
        assert said["kustomize.toolkit.fluxcd.io/force"] == "enabled"
    schemas = [waves[name] for name in migrations]
    needed = [
        waves[name] for name in waves if name.split("/")[0] in {"Secret", "ConfigMap", "Cluster", "Service"}
    ]
    assert max(needed) < waves["Job/databases"] < min(schemas)
    assert max(schemas) < min(waves[f"Deployment/{each}"] for each in services[:6])


WAVE = "argocd.argoproj.io/sync-wave"


def annotations(doc: Any) -> Any:
    return doc["metadata"].get("annotations", {})


def name_of(image: str, overlay: str) -> str:
    """What an overlay calls an image by now."""
    (found,) = {
        container["image"].rpartition(":")[0]
        for doc in rendered(overlay)
        for container in doc.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ())
        if container["image"].rpartition(":")[0].endswith(image)
    } or {image}
    return found


@pytest.mark.parametrize("file", DEFECTS, ids=lambda file: file.stem)
def test_a_defect_is_found(file: Path) -> None:
    defect = yaml.safe_load(file.read_text())
    docs = copy.deepcopy(rendered("production"))
    (doc,) = [each for each in docs if named(each) == defect["at"]]

    change(doc, defect)
    # The schema takes a second: only where nothing else may find it.
    found = lint.problems(docs, "production", schema=defect["says"] == "schema")

    assert any(defect["says"] in problem for problem in found), found


def test_a_patch_that_hits_nothing_is_found() -> None:
    docs = [doc for doc in rendered("production") if doc["kind"] != "Deployment"]

    assert any("hits nothing" in problem for problem in lint.source_problems("production", docs))


def test_a_key_said_twice_is_found() -> None:
    with pytest.raises(yaml.YAMLError, match="said twice"):
        lint.read("a: 1\nb: {c: 1, c: 2}\n")


@pytest.mark.parametrize("file", sorted((lint.ROOT / "deploy").rglob("*.yaml")), ids=lambda file: file.stem)
def test_no_file_says_a_key_twice(file: Path) -> None:
    lint.read(file.read_text())


def test_two_listeners_run_on_two_nodes_with_a_spool_each() -> None:
    ingest = Rendered(rendered("production")).find("StatefulSet", "ingest-service")

    assert ingest is not None
    assert ingest["spec"]["replicas"] == 2
    spread = ingest["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
    assert [claim["metadata"]["name"] for claim in ingest["spec"]["volumeClaimTemplates"]] == ["spool"]


@pytest.mark.parametrize(("overlay", "nodes"), [("local", 1), ("staging", 2), ("production", 2)])
def test_every_node_that_listens_knows_its_number_and_all_the_others(overlay: str, nodes: int) -> None:
    found = Rendered(rendered(overlay))
    (ingest,) = [pods for pods in found.pods() if pods.name == "ingest-service"]
    told = found.settings(ingest.containers[0])
    hosts = [f"ingest-service-{number}.ingest-service" for number in range(nodes)]

    assert ingest.doc["spec"]["replicas"] == nodes
    assert told["WATTBOOK_INGEST_PEERS"] == (",".join(f"{host}:8092" for host in hosts) if nodes > 1 else "")
    index = "metadata.labels['apps.kubernetes.io/pod-index']"
    assert told["WATTBOOK_INGEST_NODE"]["fieldRef"]["fieldPath"] == index
    certificate = found.find("Certificate", "ingest-service")
    assert certificate is None or set(hosts) <= set(certificate["spec"]["dnsNames"])


def test_no_two_places_write_into_one_archive() -> None:
    found = [
        operated.written(place, cluster)
        for place in map(Rendered, map(rendered, OVERLAYS))
        for cluster in place.of("Cluster")
    ]
    archives = [archive for archive in found if archive is not None]

    assert archives == [("s3://wattbook-backups/postgres", "postgres-1")]


def test_production_is_recovered_into_a_folder_of_its_own(tmp_path: Path) -> None:
    recovery = with_components(tmp_path, "production", "recovery")
    refused = lint.problems(lint.render(str(recovery)), "production")

    folder = tmp_path / "k8s/components/backups/kustomization.yaml"
    folder.write_text(folder.read_text().replace("serverName: postgres-1", "serverName: postgres-2"))
    docs = lint.render(str(recovery))

    assert [problem.partition(": ")[2] for problem in refused] == [
        "would write into the archive that it recovers from: s3://wattbook-backups/postgres, postgres-1"
    ]
    assert lint.problems(docs, "production") == []
    assert list(lint.source_problems(str(recovery), docs)) == []


def test_a_restore_is_tried_in_staging_which_writes_nothing(tmp_path: Path) -> None:
    found = Rendered(lint.render(str(with_components(tmp_path, "staging", "recovery"))))
    (cluster,) = found.of("Cluster")

    # The key that reads production's bucket is put there by hand, for as long as it takes.
    missing = lint.problems(found.docs, "staging")
    assert [problem.rpartition(" with a key ")[0] for problem in missing] == [
        "ObjectStore/restored-from: Secret backups"
    ] * 2
    assert cluster["spec"]["bootstrap"]["recovery"]["source"] == "before"
    assert operated.written(found, cluster) is None


def test_telemetry_leaves_the_cluster_with_a_component_more(tmp_path: Path) -> None:
    place = with_components(tmp_path, "production", "telemetry-export")
    found = Rendered(lint.render(str(place)))
    (collector,) = [pods for pods in found.pods() if pods.name == "otel-collector"]
    (config,) = [each["configMap"]["name"] for each in collector.spec["volumes"] if "configMap" in each]
    shown = found.find("ConfigMap", config)

    # The secret is put there by hand: where to, and as whom.
    missing = lint.problems(found.docs, "production")
    assert missing == ["Deployment/otel-collector: Secret telemetry-export is not there"] * 2
    files = [argument.rpartition("/")[2] for argument in collector.containers[0]["args"]]
    assert shown is not None
    assert files == list(shown["data"])


def test_production_names_every_secret_that_a_cluster_is_given() -> None:
    named_there = {
        doc["metadata"]["name"]: {each["secretKey"] for each in doc["spec"]["data"]}
        for doc in Rendered(rendered("production")).of("ExternalSecret")
    }

    # RabbitMQ's operator makes its own admin. A bucket's key is nothing that could be made up.
    assert named_there.pop("backups") == {"access-key", "secret-key"}
    assert named_there == {
        name: set(keys) for name, keys in secrets.NAMES.items() if name != "rabbitmq-admin"
    }


def test_operators_are_wanted_at_the_versions_whose_fields_the_checks_know() -> None:
    page = (lint.ROOT / "docs/operations.md").read_text()
    said = dict(re.findall(r"(?m)^\| ([\w' -]+) \| (\d+(?:\.\d+)+) \| [^|]+ \|$", page))

    assert said == custom.VERSIONS


def test_one_that_is_alone_does_not_wait_for_its_callers_to_go() -> None:
    docs = copy.deepcopy(rendered("local"))
    (settings,) = [doc for doc in docs if named(doc).startswith("ConfigMap/settings")]
    settings["data"]["WATTBOOK_DRAIN_S"] = "5"

    assert any("nowhere to send its callers" in problem for problem in lint.problems(docs, "local"))


def test_the_capacity_table_says_what_pods_request_and_may_take() -> None:
    page = (lint.ROOT / "docs/operations.md").read_text().replace(" GiB", "Gi").replace(" MiB", "Mi")
    said = re.findall(r"(?m)^\| ([a-z-]+) \| [^|]+ \| (\d+m), (\d+[MG]i) \| (\d+[MG]i) \|", page)
    told = {}
    for pods in Rendered(rendered("production")).ours():
        resources = pods.containers[0]["resources"]
        told[pods.name] = (*resources["requests"].values(), resources["limits"]["memory"])

    assert len(said) == 5
    assert {name: figures for name, *figures in said} == {name: [*told[name]] for name, *_ in said}


def with_components(folder: Path, overlay: str, *names: str) -> Path:
    """A copy of an overlay, and of what it stands on, that has these components too."""
    for each in ("k8s", "observability"):
        shutil.copytree(lint.ROOT / "deploy" / each, folder / each)
    place = folder / "k8s/overlays" / overlay
    file = place / "kustomization.yaml"
    more = "".join(f"  - ../../components/{name}\n" for name in names)
    file.write_text(file.read_text().replace("configMapGenerator:", f"{more}configMapGenerator:", 1))
    return place


def change(doc: Any, defect: dict[str, Any]) -> None:
    """Set or remove what lies at ``path``; ``ENV:NAME`` stands for that variable of the first container."""
    path = defect["path"]
    here = doc
    if path.startswith("ENV:"):
        variable, _, path = path[4:].partition("/")
        here = doc["spec"]["template"]["spec"]["containers"][0]["env"]
        index = next(index for index, each in enumerate(here) if each["name"] == variable)
        path = f"{index}/{path}".strip("/")
    *steps, last = (step.replace("~1", "/") for step in path.strip("/").split("/"))
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here[step]
    key: Any = int(last) if isinstance(here, list) else last
    if defect.get("remove"):
        del here[key]
    else:
        here[key] = defect["set"]
