"""Static files: few, known at start, named by content so that browsers may keep them for ever.

The style sheet is the frame's (:mod:`wattbook.pages`); the scripts in ``static/dist`` are built by
``make setup``. Without them the pages still say everything.
"""

from __future__ import annotations

import gzip
import logging
import mimetypes
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from wattbook import pages

_log = logging.getLogger(__name__)

FRAME, STATIC = pages.STATIC, Path(__file__).parents[1] / "static"
ENTRY = "dist/app.js"
WORKER = "dist/shared.js"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    content_type: str
    plain: bytes
    gzipped: bytes
    version: str


class Assets:
    """All static files, read once."""

    def __init__(self, *folders: Path) -> None:
        """Read what is under the ``folders``; without any, of the frame and of these pages."""
        self._files = {
            path.relative_to(folder).as_posix(): _asset(path)
            for folder in folders or (FRAME, STATIC)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.suffix in _TYPES
        }
        digest = blake2b(digest_size=6)
        for name, asset in self._files.items():
            digest.update(f"{name} {asset.version} ".encode())
        self.version = digest.hexdigest()
        if ENTRY not in self._files:
            _log.warning("the pages' scripts are not built; run make setup")

    @property
    def has_script(self) -> bool:
        """Whether the scripts are built."""
        return ENTRY in self._files

    @property
    def has_worker(self) -> bool:
        """Whether the worker that pages share is built."""
        return WORKER in self._files

    def get(self, name: str) -> Asset | None:
        """A file by its name under the folder."""
        return self._files.get(name)

    def address(self, name: str) -> str:
        """Where a page finds a file; another address for another content."""
        return f"/static/{name}?v={self._files[name].version}"


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    return Asset(
        _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        content,
        gzip.compress(content, 9, mtime=0),
        blake2b(content, digest_size=6).hexdigest(),
    )
