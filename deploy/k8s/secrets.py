"""Prints a cluster's secrets as manifests, for a trial: those that it has as they are, others at random.

``make k8s-secrets | kubectl apply -f -``, as often as wanted; ``ARGS="--rotate NAME"`` prints that one, made
anew, and ``ARGS=--all`` all of them, without asking the cluster. Nothing is written down: keep them in the
cluster, or seal them. In production they come from the company's store, under the same names and keys
(overlays/production/external-secrets.yaml).
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

NAMESPACE = "wattbook"
_SERVICES = ("trade", "ingest", "pricing", "cash", "report", "ops")
NAMES: dict[str, tuple[str, ...]] = {
    "signing-key": ("signing-key.pem",),
    "verify-keys": ("verify-keys.pem",),
    "gateway-admin": ("password",),
    "report-session": ("key",),
    "meter-session": ("key",),
    **{f"{name}-client": ("secret",) for name in ("ingest", "report", "pricing", "meter")},
    "postgres-admin": ("username", "password"),
    **{
        f"{name}-db": ("owner-password", "password")
        for name in ("trade", "gateway", "pricing", "meter", "cash")
    },
    **{f"{name}-bus": ("username", "password") for name in _SERVICES},
    "rabbitmq-admin": ("password",),
    "grafana-admin": ("password",),
}
# By which operators find what they watch: RabbitMQ's topology operator, CloudNativePG.
LABELS: dict[str, dict[str, str]] = {
    **{f"{name}-bus": {"rabbitmq.com/topology-operator": "true"} for name in _SERVICES},
    "postgres-admin": {"cnpg.io/reload": "true"},
}


KEYS = ("signing-key", "verify-keys")  # a pair: what the one signs the other checks

Values = dict[str, dict[str, str]]
"""A value for each key of each secret."""


def values(there: Mapping[str, Mapping[str, str]] = MappingProxyType({}), *, rotate: str = "") -> Values:
    """What is ``there`` stays, but for ``rotate``, which is made anew; what is missing is made."""
    old = {name: {} if name == rotate else there.get(name, {}) for name in NAMES}
    made = {
        name: {key: old[name].get(key) or secrets.token_urlsafe(32) for key in keys}
        for name, keys in NAMES.items()
        if name not in KEYS
    }
    made["postgres-admin"]["username"] = "postgres"
    for service in _SERVICES:
        made[f"{service}-bus"]["username"] = service
    return made | _keys(there, is_new=rotate in KEYS)


def _keys(there: Mapping[str, Mapping[str, str]], *, is_new: bool) -> Values:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.pem" for name in KEYS}
        for name, file in files.items():
            if known := there.get(name, {}).get(file.name):
                file.write_text(known)
        tool = Path(__file__).parents[1] / "compose/keys.py"
        rotating = ["--rotate"] if is_new else []
        subprocess.run([sys.executable, str(tool), folder, folder, *rotating], check=True)
        return {name: {file.name: file.read_text()} for name, file in files.items()}


def of_the_cluster() -> Values:
    """The secrets that the namespace has.

    Raises:
        SystemExit: the cluster does not say, and what it has might be written over.
    """
    command = ["kubectl", "--namespace", NAMESPACE, "get", "secrets", "--output", "json"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()
        told = f"the cluster does not say which secrets it has: {reason}; ARGS=--all asks no cluster"
        raise SystemExit(f"k8s-secrets: {told}") from error
    return {
        each["metadata"]["name"]: {
            key: base64.b64decode(value).decode() for key, value in each.get("data", {}).items()
        }
        for each in json.loads(said)["items"]
        if each["metadata"]["name"] in NAMES
    }


def main() -> None:
    """Print them; JSON is YAML too."""
    parser = argparse.ArgumentParser(prog="make k8s-secrets", description=__doc__.partition("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument(
        "--rotate", metavar="NAME", choices=NAMES, default="", help="print this one, made anew"
    )
    choice.add_argument("--all", action="store_true", help="all of them at random; asks no cluster")
    given = parser.parse_args()
    there = {} if given.all else of_the_cluster()
    printed = KEYS if given.rotate in KEYS else [given.rotate] if given.rotate else NAMES
    found = values(there, rotate=given.rotate)
    for name in printed:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": LABELS.get(name, {})}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": found[name]}
        print("---", json.dumps(document), sep="\n")


if __name__ == "__main__":
    main()
