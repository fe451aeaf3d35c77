"""What is in a file that was given: itself, or an archive's members, never written to a path of theirs."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

from meter_service.domain.files import Refused, chosen_members, is_archive

_CHUNK_BYTES = 262_144
_IN_MEMORY_BYTES = 8 * 1024 * 1024
_TORN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Given:
    """A flow file; or, without ``content``, why there is none: ``reason``, or a member that is left alone."""

    member: str = ""
    content: BinaryIO | None = None
    reason: str = ""


def opened(source: BinaryIO) -> Iterator[Given]:
    """A file's flow files, each readable until the next is asked for."""
    source.seek(0)
    if not is_archive(source.read(4)):
        yield Given(content=source)
        return
    try:
        archive = zipfile.ZipFile(source)
        chosen, others = chosen_members(archive.infolist())
    except Refused as refused:
        yield Given(reason=refused.message)
        return
    except _TORN as error:
        yield Given(reason=f"the archive is torn: {error}")
        return
    yield from (Given(member=name) for name in others)
    for member in chosen:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as content:
            try:
                with archive.open(member) as packed:
                    while chunk := packed.read(_CHUNK_BYTES):
                        content.write(chunk)
            except _TORN as error:
                yield Given(member.filename, reason=f"the member is torn: {error}")
            else:
                yield Given(member.filename, cast(BinaryIO, content))
