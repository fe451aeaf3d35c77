"""``make k8s-secrets`` prints manifests only; what a cluster has stays, and one is made anew on demand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest

from deploy.k8s import secrets

ROOT = Path(__file__).parents[2]
Printed = dict[str, dict[str, str]]


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def encoded(values: dict[str, str]) -> dict[str, str]:
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def cluster(folder: Path, there: Printed, *, answers: bool = True) -> dict[str, str]:
    """A kubectl that knows of these secrets; the environment in which it is found."""
    items = [{"metadata": {"name": name}, "data": encoded(of)} for name, of in there.items()]
    (folder / "secrets.json").write_text(json.dumps({"items": items}))
    away = "echo 'The connection to the server was refused' >&2; exit 1"
    program(folder / "bin/kubectl", f"cat {folder}/secrets.json" if answers else away)
    return {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}


def printed(text: str) -> Printed:
    documents = [json.loads(each) for each in text.split("---\n") if each]
    return {each["metadata"]["name"]: each["stringData"] for each in documents}


def made(folder: Path, there: Printed, *arguments: str) -> Printed:
    command = [sys.executable, "-m", "deploy.k8s.secrets", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=cluster(folder, there), capture_output=True, text=True, check=True
    )
    return printed(done.stdout)


def test_an_empty_cluster_gets_every_secret_at_random(tmp_path: Path) -> None:
    first, second = made(tmp_path, {}), made(tmp_path, {})

    assert {name: (*keys,) for name, keys in first.items()} == secrets.NAMES
    assert first["report-session"] != second["report-session"]
    assert "BEGIN PUBLIC KEY" in first["verify-keys"]["verify-keys.pem"]


def test_what_a_cluster_has_stays_and_what_it_lacks_is_added(tmp_path: Path) -> None:
    there = made(tmp_path, {})
    lacking = {name: of for name, of in there.items() if name not in {"ops-bus", "verify-keys"}}
    lacking["trade-db"] = {"password": there["trade-db"]["password"]}

    again, more = made(tmp_path, there), made(tmp_path, {**lacking, "somebody-else-s": {"x": "y"}})

    assert again == there
    assert set(more) == set(there)
    assert more["verify-keys"] == there["verify-keys"]  # the public half of the key that is there
    assert more["trade-db"]["password"] == there["trade-db"]["password"]
    assert {name for name in there if more[name] != there[name]} == {"ops-bus", "trade-db"}


def test_one_is_made_anew_alone_and_the_keys_as_a_pair_with_the_old_public_one(tmp_path: Path) -> None:
    there = made(tmp_path, {})

    bus = made(tmp_path, there, "--rotate", "trade-bus")
    keys = made(tmp_path, there, "--rotate", "signing-key")

    assert set(bus) == {"trade-bus"}
    assert bus["trade-bus"]["username"] == "trade"
    assert bus["trade-bus"]["password"] != there["trade-bus"]["password"]
    assert set(keys) == {"signing-key", "verify-keys"}
    assert keys["signing-key"] != there["signing-key"]
    assert keys["verify-keys"]["verify-keys.pem"].endswith(there["verify-keys"]["verify-keys.pem"])


@pytest.mark.parametrize(("arguments", "code", "count"), [((), 1, 0), (("--all",), 0, len(secrets.NAMES))])
def test_a_cluster_that_does_not_answer_is_written_over_only_if_that_is_said(
    tmp_path: Path, arguments: tuple[str, ...], code: int, count: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.k8s.secrets", *arguments], cwd=ROOT,
        env=cluster(tmp_path, {}, answers=False), capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, len(printed(done.stdout))) == (code, count)
    assert ("was refused; ARGS=--all asks no cluster" in done.stderr) is bool(code)


def test_a_fresh_clone_pipes_manifests_only(tmp_path: Path) -> None:
    """What make installs first, and says of it, is not among them."""
    environment = cluster(tmp_path, {})
    program(tmp_path / "bin/uv", "echo installing")
    program(
        tmp_path / "bin/python",
        f'case "$*" in *compileall*) echo compiling;; *) exec {sys.executable} "$@";; esac',
    )
    places = {"BIN": "bin", "STAMP": "installed", "FRONT": "front", "DIST": "dist/.built"}
    settings = [f"{name}={tmp_path / place}" for name, place in places.items()]

    done = subprocess.run(
        ["make", "k8s-secrets", *settings],
        cwd=ROOT,
        env={name: value for name, value in environment.items() if not name.startswith("MAKE")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert set(printed(done.stdout)) == set(secrets.NAMES)
    assert "compiling" in done.stderr
