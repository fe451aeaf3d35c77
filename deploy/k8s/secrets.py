"""Makes every secret of a cluster with random values, as manifests on standard output, for a trial.

``make k8s-secrets | kubectl apply -f -``. Nothing is written down: keep them in the cluster, or seal them.
In production they come from the company's store, under the same names and keys
(overlays/production/external-secrets.yaml).
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

NAMESPACE = "wattbook"
_SERVICES = ("trade", "ingest", "pricing", "report", "ops")
NAMES: dict[str, tuple[str, ...]] = {
    "signing-key": ("signing-key.pem",),
    "verify-keys": ("verify-keys.pem",),
    "gateway-admin": ("password",),
    "report-session": ("key",),
    **{f"{name}-client": ("secret",) for name in ("ingest", "report", "pricing")},
    "postgres-admin": ("username", "password"),
    **{f"{name}-db": ("owner-password", "password") for name in ("trade", "gateway", "pricing")},
    **{f"{name}-bus": ("username", "password") for name in _SERVICES},
    "rabbitmq-admin": ("password",),
    "grafana-admin": ("password",),
}
# By which operators find what they watch: RabbitMQ's topology operator, CloudNativePG.
LABELS: dict[str, dict[str, str]] = {
    **{f"{name}-bus": {"rabbitmq.com/topology-operator": "true"} for name in _SERVICES},
    "postgres-admin": {"cnpg.io/reload": "true"},
}


def values() -> dict[str, dict[str, str]]:
    """A value for each key of each secret."""
    made = {name: {key: secrets.token_urlsafe(32) for key in keys} for name, keys in NAMES.items()}
    made["postgres-admin"]["username"] = "postgres"
    for service in _SERVICES:
        made[f"{service}-bus"]["username"] = service
    with tempfile.TemporaryDirectory() as folder:
        tool = Path(__file__).parents[1] / "compose/keys.py"
        subprocess.run([sys.executable, str(tool), folder, folder], check=True)
        for name in ("signing-key", "verify-keys"):
            made[name] = {f"{name}.pem": (Path(folder) / f"{name}.pem").read_text()}
    return made


def main() -> None:
    """Print them; JSON is YAML too."""
    for name, content in values().items():
        metadata = {"name": name, "namespace": NAMESPACE, "labels": LABELS.get(name, {})}
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": content}
        print("---", json.dumps(document), sep="\n")


if __name__ == "__main__":
    main()
