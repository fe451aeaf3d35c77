"""Load over HTTP: wrk where the machine has it, else a plain asyncio generator (slower, so it says so)."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

WRK = shutil.which("wrk")
SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What is asked: paths and bodies in turn; ``@N@`` in a body becomes a number that never comes twice.

    An ``If-None-Match`` among the headers becomes the tag of the last answer, as a browser would have it.
    """

    url: str
    connections: int
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ("/",)
    bodies: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answered:
    """What came of it. ``bad`` had a status of 400 or more, ``broken`` no answer; ``unchanged`` were 304."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bad: int
    broken: int
    unchanged: int = 0

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def clean(self) -> Answered:
        """Itself, if every request was answered well."""
        if self.bad or self.broken or not self.requests:
            raise RuntimeError(f"the load was not answered well: {self}")
        return self


def generator() -> str:
    """What makes the load."""
    return "wrk" if WRK else "asyncio (no wrk on this machine; it takes more of the processor)"


def run(load: Load, *, seconds: float) -> Answered:
    return _wrk(load, seconds) if WRK else asyncio.run(_asyncio(load, seconds))


def _wrk(load: Load, seconds: float) -> Answered:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("headers", "paths", "bodies")]
        headers = [f"{name}: {value}" for name, value in load.headers.items()]
        for file, lines in zip(files, (headers, load.paths, load.bodies), strict=True):
            file.write_text("\n".join(lines))
        command = [
            str(WRK), "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
            "-s", str(SCRIPT), load.url, "--", load.method, *map(str, files),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60)
    return Answered(**json.loads(done.stdout.rsplit("@@ ", 1)[1]))


async def _asyncio(load: Load, seconds: float) -> Answered:
    waits_ms: list[float] = []
    outcome = {"bad": 0, "broken": 0, "sent": 0, "unchanged": 0}
    started = time.perf_counter()
    until = started + seconds
    workers = [_connection(load, until, waits_ms, outcome) for _ in range(load.connections)]
    await asyncio.gather(*workers)
    elapsed = time.perf_counter() - started
    waits_ms.sort()

    def at(share: float) -> float:
        return waits_ms[min(int(len(waits_ms) * share), len(waits_ms) - 1)] if waits_ms else 0.0

    return Answered(
        len(waits_ms), elapsed, at(0.5), at(0.99), at(1.0), outcome["bad"], outcome["broken"],
        outcome["unchanged"],
    )  # fmt: skip


async def _connection(load: Load, until: float, waits_ms: list[float], outcome: dict[str, int]) -> None:
    address = urlsplit(load.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        while time.perf_counter() < until:
            outcome["sent"] += 1
            began = time.perf_counter()
            writer.write(_request(load, address.netloc, outcome["sent"]))
            status, tag = await asyncio.wait_for(_answer(reader), 10)
            waits_ms.append((time.perf_counter() - began) * 1000)
            outcome["bad"] += status >= 400
            outcome["unchanged"] += status == 304
            if tag and "If-None-Match" in load.headers:
                load.headers["If-None-Match"] = tag
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        outcome["broken"] += 1
    finally:
        writer.close()


def _request(load: Load, host: str, number: int) -> bytes:
    body = (
        load.bodies[number % len(load.bodies)].replace("@N@", f"a_{number}").encode() if load.bodies else b""
    )
    lines = [f"{load.method} {load.paths[number % len(load.paths)]} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in load.headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, str]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split()[1])
    split = (line.split(": ", 1) for line in head[1:] if ": " in line)
    headers = {name.lower(): value for name, value in split}
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    elif status != 304:
        await reader.readexactly(int(headers.get("content-length", "0")))
    return status, headers.get("etag", "")
