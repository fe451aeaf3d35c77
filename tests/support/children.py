"""Other processes of ours that a test starts, listens to, and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager


class Child:
    """A Python program that talks line by line."""

    def __init__(self, program: str, *arguments: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdin is not None
        self._out = self._process.stdout
        self._in = self._process.stdin

    def line(self) -> str:
        """The next line that it prints, without its end; empty when it has ended."""
        return self._out.readline().rstrip("\n")

    def say(self, line: str) -> None:
        """Write it a line."""
        self._in.write(line + "\n")
        self._in.flush()

    def lines(self) -> Iterator[str]:
        """All lines to its end; a last one that was cut off in the middle is left out."""
        return (line[:-1] for line in self._out if line.endswith("\n"))

    def kill(self) -> None:
        """``kill -9``, and wait until it is gone."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(10)

    def ended(self, *, timeout_s: float = 30.0) -> int:
        """Its exit status, once it ends by itself."""
        return self._process.wait(timeout_s)

    def close(self) -> None:
        """Make sure that it is gone."""
        self.kill()
        self._out.close()
        self._in.close()


@contextmanager
def started(program: str, *arguments: str) -> Iterator[Child]:
    """A child for the block."""
    child = Child(program, *arguments)
    try:
        yield child
    finally:
        child.close()
