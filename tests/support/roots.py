"""The servers that tests start: the deployed versions in Debian roots, or else this machine's own.

``make servers`` makes the roots, as root on Debian; they are kept between runs in WATTBOOK_CI_CACHE. A server
starts in one by chroot, in a mount namespace of its own: it sees this machine's processes and devices, and
the folders that it is given. Without a root, tests run on what the machine has; in CI they fail instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MIRROR = re.compile(r"^\S+/debian/?$", re.MULTILINE)
# In a namespace of its own; /tmp is one too, so that nothing stays behind in the kept root.
ENTER = """
root=$1 user=$2; shift 2
mount --rbind /proc "$root/proc"; mount --rbind /dev "$root/dev"; mount -t tmpfs -o mode=1777 tmp "$root/tmp"
while [ "$1" != -- ]; do mkdir -p "$root$1"; mount --bind "$1" "$root$1"; shift; done; shift
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups -- "$@"
"""


@dataclass(frozen=True)
class Root:
    """A Debian suite with servers installed in it, and nothing running."""

    suite: str
    packages: tuple[str, ...]

    @property
    def folder(self) -> Path:
        key = hashlib.sha256(" ".join(self.packages).encode()).hexdigest()[:8]
        return cache() / "servers" / f"{self.suite}-{key}"

    def make(self) -> None:
        """Make it. Half a one is never left under its name."""
        new = self.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        # debootstrap knows no script for suites that are newer than itself; they are all alike.
        script = Path("/usr/share/debootstrap/scripts") / self.suite
        scripts = [] if script.exists() else [str(script.with_name("sid"))]
        command = ["unshare", "--mount", "--propagation", "private"]  # what it mounts ends with it
        command += ["debootstrap", "--variant=minbase", f"--include={','.join(self.packages)}"]
        command += [self.suite, str(new), mirror(), *scripts]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"debootstrap of {self.suite}:\n{done.stdout[-3000:]}")
        (new / "etc/hosts").write_text("127.0.0.1 localhost\n")
        for package in (new / "var/cache/apt/archives").glob("*.deb"):
            package.unlink()
        new.rename(self.folder)


TRIXIE = Root("trixie", ("postgresql-17", "rabbitmq-server"))
FORKY = Root("forky", ("libffi8", "libsqlite3-0", "postgresql-18", "rabbitmq-server"))
ROOTS = (TRIXIE, FORKY)
# The deployed version, and the next one, by their major numbers.
POSTGRESQL = {"17": TRIXIE, "18": FORKY}
DEPLOYED = {"postgresql": TRIXIE, "rabbitmq": FORKY}


@dataclass(frozen=True)
class Programs:
    """A server's programs: a folder on this machine, or inside ``root``."""

    folder: Path
    user: str
    root: Path | None = None

    def command(self, *words: str, sees: Sequence[Path] = ()) -> list[str]:
        """``words``, the first of them a program of the folder or a path, as the server's own user.

        In a root it sees of this machine's files those in ``sees`` only, at the same paths.
        """
        program = words[0] if "/" in words[0] else str(self.folder / words[0])
        if self.root is not None:
            folders = [str(path) for path in sees]
            shell = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", ENTER, "enter"]
            return [*shell, str(self.root), self.user, *folders, "--", program, *words[1:]]
        as_user = ["setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups"]
        return [*(as_user if os.geteuid() == 0 else []), program, *words[1:]]

    def hand_over(self, *paths: Path) -> None:
        """Make the server's own user the owner."""
        if os.geteuid() == 0:
            user, group = self._ids()
            for path in paths:
                os.chown(path, user, group)

    def _ids(self) -> tuple[int, int]:
        if self.root is None:
            account = pwd.getpwnam(self.user)
            return account.pw_uid, account.pw_gid
        found = re.search(
            rf"^{self.user}:[^:]*:(\d+):(\d+):", (self.root / "etc/passwd").read_text(), re.MULTILINE
        )
        assert found, f"{self.root} has no user {self.user}"
        return int(found[1]), int(found[2])


def postgresql(*, root: Root | None = DEPLOYED["postgresql"]) -> Programs | None:
    """PostgreSQL's programs in a root or (None) on this machine; None where they are not there."""
    top = _top(root)
    if top is None:
        return None
    found = sorted(top.glob("usr/lib/postgresql/*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if found:
        return Programs(_inside(found[-1].parent, root), "postgres", root and top)
    path = shutil.which("postgres") if root is None else None
    return Programs(Path(path).parent, "postgres") if path else None


def rabbitmq(*, root: Root | None = DEPLOYED["rabbitmq"]) -> Programs | None:
    """RabbitMQ's, alike."""
    top = _top(root)
    if top is None or not (top / "usr/lib/rabbitmq/bin/rabbitmq-server").exists():
        return None
    return Programs(Path("/usr/lib/rabbitmq/bin"), "rabbitmq", root and top)


def cache() -> Path:
    """Where roots are kept."""
    given = os.environ.get("WATTBOOK_CI_CACHE")
    return Path(given or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wattbook-ci")


def mirror() -> str:
    """The Debian mirror that this machine's own packages come from."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)"], capture_output=True, text=True, check=True
    ).stdout
    found = MIRROR.search(told)
    if found is None:
        raise SystemExit("this machine's apt names no mirror of Debian")
    return found[0]


def _top(root: Root | None) -> Path | None:
    if root is None:
        return Path("/")
    return root.folder if os.geteuid() == 0 and root.folder.is_dir() else None


def _inside(path: Path, root: Root | None) -> Path:
    return path if root is None else Path("/") / path.relative_to(root.folder)


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else makes roots for the block."""
    folder = cache() / "servers"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Make the roots that are missing; print the folder of those with the deployed servers that are named."""
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        raise SystemExit("making servers' roots wants root, and Debian's debootstrap")
    with _alone():
        for root in ROOTS:
            began, there = time.monotonic(), root.folder.is_dir()
            if not there:
                root.make()
                took = f"made in {time.monotonic() - began:.0f} s"
                print(f"servers: {root.suite} with {', '.join(root.packages)}: {took}", file=sys.stderr)
    for name in sys.argv[1:]:
        print(DEPLOYED[name].folder)


if __name__ == "__main__":
    main()
