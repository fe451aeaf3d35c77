"""Processes of services: each in a group of its own, none outliving this one."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO

from wattbook_cli.domain.stops import Stop

_PR_SET_PDEATHSIG = 1  # prctl(2)


class Process:
    """A started process. Start and end it from one thread: the kernel ties its life to that thread."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], output: BinaryIO) -> None:
        """Start ``command``, with its output appended to ``output``.

        Raises:
            OSError: there is no such program, or the machine has no room for a process.
        """
        self._popen = subprocess.Popen(  # noqa: S603 - the command is the desk's own table
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for the supervisor, which stops in order
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - see there
        )

    @property
    def pid(self) -> int:
        """Its number, also that of its group."""
        return self._popen.pid

    def ended(self) -> int | None:
        """The exit code once it ended (negative: the signal), ``None`` while it runs.

        Whatever it started and left behind is ended too: a worker that still holds a port would keep the
        next start from listening.
        """
        if self._popen.returncode is None and self._is_waiting_to_be_reaped():
            self._signal_group(signal.SIGKILL)  # its number is still ours: nobody else can have it yet
        return self._popen.poll()

    def terminate(self) -> None:
        """Ask it to stop in order."""
        if self._popen.poll() is None:
            self._popen.terminate()

    def kill(self) -> None:
        """End it and whatever it started."""
        if self._popen.returncode is None:
            self._signal_group(signal.SIGKILL)
            self._popen.wait()

    def _is_waiting_to_be_reaped(self) -> bool:
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return False

    def _signal_group(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def _end_with_parent() -> Callable[[], None] | None:
    """What a new process does before it becomes the service: on Linux, ask to be stopped with its parent.

    It runs between fork and exec: everything is looked up before, so that only system calls are left.
    The services also watch their parent themselves (WATTBOOK_STOP_WITH_PARENT).
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent, getppid, leave = os.getpid(), os.getppid, os._exit

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if getppid() != parent:
            leave(1)

    return prepare


def refuse_busy_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """See to it that every port can be listened on.

    Raises:
        Stop: one cannot, and why.
    """
    for what, (host, port) in ports.items():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                used = _ranges([number for _, number in ports.values()])
                raise Stop(_port_refusal(f"{host} port {port} (for {what})", used, error)) from None


def _ranges(numbers: Sequence[int]) -> str:
    """``8080 to 8081, 8090 to 8092``."""
    ordered = sorted(set(numbers))
    firsts = [number for number in ordered if number - 1 not in ordered]
    lasts = [number for number in ordered if number + 1 not in ordered]
    pairs = zip(firsts, lasts, strict=True)
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in pairs)


def _port_refusal(what: str, used: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{what} is in use; free it, or give another --port-base (this desk uses {used})"
    if isinstance(error, PermissionError):
        return f"{what} needs more rights; give another --port-base"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {what}: this machine has no such address; give another --host"
    return f"cannot listen on {what}: {error.strerror or error}"
