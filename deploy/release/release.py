"""Makes a release: ``release.py VERSION`` writes the versions and the changelog, builds, and tags last.

Built into ``dist/``: a wheel a package, and a bill of materials (CycloneDX) of what runs, Python's and the
pages' packages. Images are built with it by ``make release``; pushing and deploying is somebody's decision.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CHANGELOG, DIST = Path("CHANGELOG.md"), Path("dist")
HEADING = "# Changelog\n\nMade from the commits by `make release`; the newest first.\n"
VERSION = re.compile(r"\d+\.\d+\.\d+(-rc\.\d+)?")
LOCK = Path("report-service/frontend/package-lock.json")


class Refused(Exception):
    """No release is made; says why."""


def git(*words: str) -> str:
    """What git says.

    Raises:
        Refused: it failed.
    """
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr.strip())
    return done.stdout.strip()


def check(version: str) -> None:
    """Refuse what would have to be taken back.

    Raises:
        Refused: the version is none or is taken, or something is not committed.
    """
    if not VERSION.fullmatch(version):
        raise Refused(f"{version!r} is no version; say 1.2.3 or 1.2.3-rc.1")
    if git("tag", "--list", f"v{version}"):
        raise Refused(f"v{version} is there already")
    if git("status", "--porcelain"):
        raise Refused("something is not committed")


def changes() -> list[str]:
    """The subjects of the commits since the last release, oldest first."""
    tags = git("tag", "--list", "v*", "--sort=-creatordate", "--merged", "HEAD").splitlines()
    since = [f"{tags[0]}..HEAD"] if tags else []
    return git("log", "--reverse", "--no-merges", "--format=%s", *since).splitlines()


def write_changelog(version: str, subjects: list[str], day: str) -> None:
    """Put the release on top."""
    before = CHANGELOG.read_text().removeprefix(HEADING) if CHANGELOG.exists() else ""
    lines = "".join(f"- {subject}\n" for subject in subjects)
    CHANGELOG.write_text(f"{HEADING}\n## {version} ({day})\n\n{lines}{before}")


def write_versions(version: str) -> list[str]:
    """Set it in every package; the files."""
    written = version.replace("-rc.", "rc")  # as Python writes it
    files = sorted(path for path in Path().glob("*/pyproject.toml"))
    for path in (Path("pyproject.toml"), *files):
        text = path.read_text()
        path.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{written}"', text, count=1))
    return ["pyproject.toml", *(str(path) for path in files)]


def build(version: str) -> None:
    """Wheels and the bill of materials, into ``dist/``."""
    DIST.mkdir(exist_ok=True)
    tools = Path(sys.executable).parent
    pinned = ["--build-constraints", "constraints.txt"]
    folders = sorted(str(path.parent) for path in Path().glob("*/pyproject.toml"))
    for folder in folders:
        run(tools / "uv", "build", "--quiet", "--wheel", *pinned, "--out-dir", DIST, folder)
    place = DIST / ".environment"
    python = place / "bin/python"
    run(tools / "uv", "venv", "--quiet", "--clear", place)
    wheels = sorted(str(path) for path in DIST.glob(f"*-{version.replace('-rc.', 'rc')}-*.whl"))
    run(tools / "uv", "pip", "install", "--quiet", "--python", python, "-c", "constraints.txt", *wheels)
    file = DIST / f"wattbook-{version}.cdx.json"
    run(tools / "cyclonedx-py", "environment", "--output-reproducible", "--output-file", file, python)
    bill = json.loads(file.read_text())
    for each in bill.get("components", ()):  # our own came from files of this machine: nobody's business
        if each["name"].startswith("wattbook-"):
            each.pop("externalReferences", None)
    bill["components"] = sorted([*bill.get("components", []), *bundled()], key=lambda each: each["name"])
    bill["metadata"]["component"] = {"type": "application", "name": "wattbook", "version": version}
    file.write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n")


def bundled() -> list[dict[str, Any]]:
    """What the pages' scripts bring along: npm's packages that are not only for building."""
    found = []
    for place, told in json.loads(LOCK.read_text())["packages"].items():
        if not place or told.get("dev"):
            continue
        name = place.rpartition("node_modules/")[2]
        kind, _, digest = told["integrity"].partition("-")
        content = base64.b64decode(digest).hex()
        found.append(
            {
                "type": "library", "name": name, "version": told["version"],
                "purl": f"pkg:npm/{name.replace('@', '%40')}@{told['version']}",
                "licenses": [{"license": {"id": told["license"]}}],
                "hashes": [{"alg": kind.upper().replace("SHA", "SHA-"), "content": content}],
            }
        )  # fmt: skip
    return found


def run(*command: str | Path) -> None:
    """Run it.

    Raises:
        Refused: it failed.
    """
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Make a release of Wattbook.")
    parser.add_argument("version")
    parser.add_argument("--no-build", action="store_true", help="only changelog and tag")
    given = parser.parse_args()
    try:
        check(given.version)
        subjects = changes()
        write_changelog(given.version, subjects, f"{datetime.now(UTC):%Y-%m-%d}")
        files = write_versions(given.version)
        try:
            if not given.no_build:
                build(given.version)
        except Refused:
            git("checkout", "--", *files)
            raise
        git("add", str(CHANGELOG), *files)
        git("commit", "--quiet", "-m", f"Release {given.version}")
        git("tag", "--annotate", f"v{given.version}", "-m", f"Wattbook {given.version}")
    except Refused as refused:
        print(f"release: {refused}", file=sys.stderr)
        return 1
    print(f"release: v{given.version}, {len(subjects)} changes; push it with: git push --follow-tags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
