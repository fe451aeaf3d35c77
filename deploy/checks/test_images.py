"""The Dockerfile and what it is built from."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.checks import posture

ROOT = Path(__file__).parents[2]
DOCKERFILES = [ROOT / "Dockerfile", *sorted((ROOT / ".ci/stand-ins").glob("*.Dockerfile"))]


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_hadolint_finds_nothing(file: Path) -> None:
    # Stand-ins take what Debian has: DL3008 wants versions, DL3006 tags.
    ignored = ["--ignore", "DL3008", "--ignore", "DL3006"] if file.name != "Dockerfile" else []

    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", *ignored, file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout, done.returncode) == ("", 0)


def stages() -> dict[str, str]:
    found = re.split(r"(?m)^FROM (\S+) AS (\S+)$", (ROOT / "Dockerfile").read_text())
    return {name: body for _, name, body in zip(found[1::3], found[2::3], found[3::3], strict=True)}


@pytest.mark.parametrize("image", sorted(posture.our_images()))
def test_an_image_starts_its_process_itself_and_asks_for_its_health(image: str) -> None:
    body = stages()[image]

    assert re.search(r'^(CMD|ENTRYPOINT) \["', body, flags=re.MULTILINE), (
        "a shell would keep SIGTERM to itself"
    )
    assert re.search(
        r'^HEALTHCHECK (NONE|.*CMD \["python", "-m", "wattbook\.probe",)', body, flags=re.MULTILINE
    )
    assert f"/images/{image} /opt/wattbook" in body
    assert f'image.title="wattbook/{image}"' in body


def test_every_service_folder_has_its_image() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/pyproject.toml")}

    assert folders - {"common", "proto"} == posture.our_images()


def test_every_package_that_is_built_from_is_pinned() -> None:
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = {
        re.split(r"[<>=;\[]", each)[0].lower().replace("_", "-")
        for file in ROOT.glob("*/pyproject.toml")
        for said in [tomllib.loads(file.read_text())]
        for each in (*said["project"]["dependencies"], *said["build-system"]["requires"])
    }

    assert {name for name in wanted if not name.startswith("wattbook")} <= pinned


def test_nothing_that_is_secret_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    assert lines[1] == "*", "everything is left out but for what is named"
    assert not {line for line in lines if line.startswith("!") and re.search(r"\.env|\.git|data|tests", line)}


def made(tmp_path: Path, python: str, goal: str) -> subprocess.CompletedProcess[str]:
    """``make`` with a Python of that text, and a builder that only says what it is asked for."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{python}\n")
    program.chmod(0o755)
    command = ["make", "-C", str(ROOT), goal, f"PYTHON={program}", "BUILD=echo build", "PUSH=echo push"]
    return subprocess.run(
        [*command, "IMAGES=localhost/wattbook"], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("goal", ["images", "push"])
def test_images_are_made_also_where_python_is_older_and_never_none_in_silence(
    tmp_path: Path, goal: str
) -> None:
    older = "import runpy, sys; sys.modules['tomllib'] = None; del sys.argv[0]; run = runpy.run_path"
    python = f"""exec {sys.executable} -c "{older}; run(sys.argv[0], run_name='__main__')" "$@" """

    done = made(tmp_path, python, goal)
    failed = made(tmp_path, "exit 1", goal)

    assert done.returncode == 0, done.stderr
    for image in posture.our_images():
        assert f"localhost/wattbook/{image}:dev" in done.stdout
    assert failed.returncode != 0
