"""Every check of a rendered overlay, and of what it is rendered from.

``python -m deploy.checks.lint OVERLAY…`` prints what is wrong and exits 1 where anything is.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from deploy.checks import certified, custom, edge, network, operated, posture, references, scaling, told
from deploy.checks.manifests import Doc, Rendered
from deploy.k8s import secrets

ROOT = Path(__file__).parents[2]
OVERLAYS = ROOT / "deploy/k8s/overlays"
SINGLE = frozenset({"local"})  # places where one replica is enough
GIVEN = frozenset({"local", "staging"})  # places whose secrets `make k8s-secrets` makes
OF_OPERATORS = {"postgres-ca": frozenset({"ca.crt"}), "rabbitmq-ca": frozenset({"ca.crt"})}
OLDEST_KUSTOMIZE = (4, 1)  # components


class _NoTwins(yaml.SafeLoader):
    """YAML in which a key may not be said twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.value != "<<"]
        twins = {key for key in keys if keys.count(key) > 1}
        if twins:
            raise yaml.YAMLError(f"{node.start_mark}: said twice: {twins}")
        return super().construct_mapping(node, deep)


def read(text: str) -> list[Doc]:
    """The documents of a YAML stream. Raises yaml.YAMLError, for a key that is said twice too."""
    return [doc for doc in yaml.load_all(text, Loader=_NoTwins) if doc]  # a SafeLoader


def kustomize() -> list[str]:
    """The command that renders: kubectl where it is new enough, else kustomize itself.

    Raises:
        RuntimeError: there is neither.
    """
    for command, version in (
        (["kubectl", "kustomize"], ["kubectl", "version", "--client"]),
        (["kustomize", "build"], ["kustomize", "version"]),
    ):
        if shutil.which(command[0]):
            said = subprocess.run(version, capture_output=True, text=True, check=False).stdout
            found = re.search(r"(?:Kustomize Version: |^)v(\d+)\.(\d+)", said, flags=re.MULTILINE)
            if found and (int(found[1]), int(found[2])) >= OLDEST_KUSTOMIZE:
                return command
    raise RuntimeError("no kustomize of 4.1 or newer here (kubectl kustomize, or kustomize)")


def render(overlay: str) -> list[Doc]:
    """What an overlay makes.

    Raises:
        RuntimeError: it cannot be rendered; with what was said.
    """
    return render_folder(OVERLAYS / overlay)


def render_folder(folder: Path) -> list[Doc]:
    """What the kustomization in a folder makes; raises like :func:`render`."""
    done = subprocess.run([*kustomize(), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{folder.name}: {done.stderr}")
    return read(done.stdout)


def schema_problems(docs: Sequence[Doc]) -> Iterator[str]:
    """What Kubernetes' own schemas refuse; a kind that they do not hold is ours to know."""
    core = [doc for doc in docs if not custom.is_custom(doc)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rendered.yaml"
        file.write_text(yaml.safe_dump_all(core))
        tool = Path(sys.executable).parent / "kubernetes-validate"
        done = subprocess.run([tool, "--strict", str(file)], capture_output=True, text=True, check=False)
    for line in (done.stdout + done.stderr).splitlines():
        if line.strip() and not line.startswith("INFO"):
            yield f"schema: {line}"
    if done.returncode and not (done.stdout + done.stderr).strip():
        yield "schema: kubernetes-validate failed without a word"


def problems(docs: Sequence[Doc], overlay: str, *, schema: bool = True) -> list[str]:
    """Everything that is wrong with what an overlay made."""
    rendered = Rendered(docs)
    given: Mapping[str, frozenset[str]] = OF_OPERATORS
    if overlay in GIVEN:
        given = {**given, **{name: frozenset(keys) for name, keys in secrets.NAMES.items()}}
    there = references.secrets_of(rendered, given)
    found = [
        *references.problems(rendered, given),
        *posture.problems(rendered, single=overlay in SINGLE),
        *network.problems(rendered),
        *edge.problems(rendered),
        *certified.problems(rendered),
        *scaling.problems(rendered, there),
        *operated.problems(rendered, there, secrets.LABELS if overlay in GIVEN else {}),
        *told.problems(rendered),
        *custom.problems(rendered),
    ]
    if schema:
        found += schema_problems(docs)
    return found


def source_problems(overlay: str, docs: Sequence[Doc]) -> Iterator[str]:
    """Patches that hit nothing: kustomize says nothing about them."""
    for file, told_ in _kustomizations(OVERLAYS / overlay):
        for patch in told_.get("patches", ()):
            target = patch.get("target")
            if target and not any(_hits(target, doc) for doc in docs):
                yield f"{file.relative_to(ROOT)}: a patch hits nothing: {target}"
        for each in told_.get("images", ()):
            name = each.get("newName", each["name"])
            if not any(f"{name}:" in str(doc) or f"{name}@" in str(doc) for doc in docs):
                yield f"{file.relative_to(ROOT)}: no pod uses the image {name}"


def _kustomizations(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    file = folder / "kustomization.yaml"
    (told_,) = read(file.read_text())
    yield file, told_
    for each in (*told_.get("resources", ()), *told_.get("components", ())):
        if (folder / each).is_dir():
            yield from _kustomizations((folder / each).resolve())


def _hits(target: Mapping[str, str], doc: Doc) -> bool:
    group = str(doc["apiVersion"]).rpartition("/")[0]
    return (
        target.get("kind", doc["kind"]) == doc["kind"]
        and target.get("group", group) == group
        and re.fullmatch(target.get("name", ".*"), doc["metadata"]["name"]) is not None
    )


def main() -> int:
    """The exit status."""
    found = []
    for overlay in sys.argv[1:] or sorted(path.name for path in OVERLAYS.iterdir()):
        docs = render(overlay)
        found += [
            f"{overlay}: {problem}" for problem in (*problems(docs, overlay), *source_problems(overlay, docs))
        ]
    print("\n".join(found) or "no problem found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
