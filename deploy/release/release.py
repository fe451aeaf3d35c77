"""Makes a release: ``release.py VERSION`` commits the versions and the changelog, builds that, and tags last.

Built into ``dist/``: a wheel a package, and a bill of materials (CycloneDX) of what we bring, Python's and
the pages' packages (what is below them in an image, its builder can tell: docs/operations.md). Then the
images, by ``make images``, of the commit that is tagged. Where something fails, all is as it was before, and
the next try needs no tidying up. Pushing and deploying is somebody's decision.
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
BRANCH = "main"
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
        Refused: the version is none or is taken, this is not main, or something is not committed.
    """
    if not VERSION.fullmatch(version):
        raise Refused(f"{version!r} is no version; say 1.2.3 or 1.2.3-rc.1")
    if git("tag", "--list", f"v{version}"):
        raise Refused(f"v{version} is there already")
    if (branch := git("branch", "--show-current")) != BRANCH:
        raise Refused(f"releases are made on {BRANCH}, not on {branch or 'a commit without a branch'}")
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


def packages() -> list[Path]:
    """Every package's own file."""
    return sorted(Path().glob("*/pyproject.toml"))


def write_versions(version: str) -> None:
    """Set it in every package."""
    pythons = version.replace("-rc.", "rc")  # as Python writes it
    for path in (Path("pyproject.toml"), *packages()):
        text = path.read_text()
        path.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{pythons}"', text, count=1))


def written() -> list[str]:
    """The files that a release changes, as far as they are there."""
    return [str(path) for path in (CHANGELOG, Path("pyproject.toml"), *packages()) if path.exists()]


def build(version: str) -> None:
    """Wheels and the bill of materials, into ``dist/``."""
    DIST.mkdir(exist_ok=True)
    tools = Path(sys.executable).parent
    pinned = ["--build-constraints", "constraints.txt"]
    for path in packages():
        run(tools / "uv", "build", "--quiet", "--wheel", *pinned, "--out-dir", DIST, path.parent)
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


def build_images(version: str) -> None:
    """All of them, with what they say while they are built; IMAGES and BUILD are make's as ever.

    Raises:
        Refused: one failed.
    """
    done = subprocess.run(["make", "--no-print-directory", "images", f"VERSION={version}"], check=False)
    if done.returncode:
        raise Refused("the images could not be built")


def run(*command: str | Path) -> None:
    """Run it.

    Raises:
        Refused: it failed.
    """
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")


def make(version: str, *, builds: bool) -> int:
    """The release; how many changes it has.

    Raises:
        Refused: it cannot be made, and nothing of it is left but what lies in ``dist/``.
    """
    check(version)
    subjects, before = changes(), git("rev-parse", "HEAD")
    try:
        write_changelog(version, subjects, f"{datetime.now(UTC):%Y-%m-%d}")
        write_versions(version)
        git("add", "--", *written())
        git("commit", "--quiet", "-m", f"Release {version}")
        if builds:
            build(version)
            build_images(version)
        git("tag", "--annotate", f"v{version}", "-m", f"Wattbook {version}")
    except BaseException:  # a Ctrl-C too
        take_back(before)
        raise
    return len(subjects)


def take_back(commit: str) -> None:
    """What we wrote is as in ``commit``; what somebody changed elsewhere meanwhile stays."""
    git("reset", "--quiet", "--soft", commit)
    git("add", "--", *written())
    git("restore", f"--source={commit}", "--staged", "--worktree", "--", *written())


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description="Make a release of Wattbook.")
    parser.add_argument("version")
    parser.add_argument("--no-build", action="store_true", help="only changelog, commit and tag")
    given = parser.parse_args()
    try:
        count = make(given.version, builds=not given.no_build)
    except Refused as refused:
        print(f"release: {refused}", file=sys.stderr)
        return 1
    print(f"release: v{given.version}, {count} changes; push it with: git push --follow-tags")
    return 0


if __name__ == "__main__":
    sys.exit(main())
