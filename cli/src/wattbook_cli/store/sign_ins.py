"""Tokens of ``wattbook login``, readable by their owner only."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from wattbook_cli.domain.sign_ins import SignIn
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.files import PRIVATE_FOLDER, write_whole


class SignIns:
    """The tokens kept, by the gateway's address."""

    def __init__(self, folder: Path) -> None:
        """Keep them in ``folder``, which is made when there is something to keep."""
        self._folder = folder
        self._file = folder / "sign-ins.json"

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> SignIns:
        """Those of this user: in ``$XDG_CONFIG_HOME/wattbook``, else ``~/.config/wattbook``."""
        configured = environment.get("XDG_CONFIG_HOME")
        parent = Path(configured) if configured else Path.home() / ".config"
        return cls(parent / "wattbook")

    def get(self, url: str) -> SignIn | None:
        """The sign-in at a gateway, if any."""
        try:
            return SignIn(**self._all()[url])  # type: ignore[arg-type]  # as written by keep()
        except (KeyError, TypeError):
            return None

    def keep(self, url: str, sign_in: SignIn) -> None:
        """Remember a sign-in in place of any other at this gateway."""
        self._write({**self._all(), url: asdict(sign_in)})

    def forget(self, url: str) -> bool:
        """Forget the sign-in at a gateway; whether there was one."""
        kept = self._all()
        known = kept.pop(url, None) is not None
        if known:
            self._write(kept)
        return known

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one command at a time exchange tokens."""
        self._make_folder()
        with (self._folder / "sign-ins.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _all(self) -> dict[str, dict[str, object]]:
        try:
            kept = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def _write(self, kept: Mapping[str, Mapping[str, object]]) -> None:
        self._make_folder()
        try:
            write_whole(self._file, json.dumps(kept, indent=2).encode() + b"\n")
        except OSError as error:
            raise Stop(f"cannot keep the sign-in in {self._file}: {error.strerror or error}") from None

    def _make_folder(self) -> None:
        try:
            self._folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise Stop(f"cannot make the folder {self._folder}: {error.strerror or error}") from None
