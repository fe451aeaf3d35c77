"""Tests start the servers that the deployment names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support import postgres, rabbitmq, roots

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "docker-compose.yml", *sorted((ROOT / "deploy/k8s").rglob("*.yaml"))]
IMAGE = r"(?:image(?:Name)?: .*|newName: .*/){name}(?:, newTag)?:[ \"]*(\d+(?:\.\d+)*)"


def named(image: str) -> dict[str, str]:
    """The version of an image by the file that names it."""
    pattern = re.compile(IMAGE.format(name=image))
    return {
        str(file.relative_to(ROOT)): found[1]
        for file in FILES
        for found in pattern.finditer(file.read_text())
    }


def version(programs: roots.Programs, *command: str) -> str:
    """Major and minor of what tests start."""
    if programs.root is None:
        pytest.skip("tests run on this machine's own servers (make servers)")
    said = subprocess.run(programs.command(*command), capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+\.\d+", said)
    assert found, said
    return found[0]


@pytest.mark.servers
@pytest.mark.parametrize("image", ["rabbitmq", "postgres", "postgresql"])
def test_every_file_names_the_version_that_tests_run_on(image: str) -> None:
    if image == "rabbitmq":
        ours = version(rabbitmq.available(), "/usr/sbin/rabbitmqctl", "version")
    else:
        ours = version(postgres.require(), "postgres", "--version")

    found = named(image)

    assert found, f"no file names {image}"
    # By the major version alone, or with the minor one.
    others = {file: tag for file, tag in found.items() if not f"{ours}.".startswith(f"{tag}.")}
    assert not others, f"tests run on {image} {ours}"
