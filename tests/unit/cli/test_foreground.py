"""Ctrl-C on a terminal under ``make``: the command ends as it wants to, and make says nothing of it."""

from __future__ import annotations

import os
import pty
import select
import shutil
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os, signal, sys
from wattbook_cli.clients.foreground import own_foreground

ended = []
signal.signal(signal.SIGINT, lambda *_: ended.append(1))
with own_foreground(os.environ):
    print("running", flush=True)
    while not ended:
        signal.pause()
print("stopped in order", flush=True)
"""
SHOWN_S = 30


def on_a_terminal(*command: str, folder: Path) -> tuple[int, str]:
    """How a command ends that gets one Ctrl-C once it says that it runs, and what it said."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.execvp(command[0], command)
    said = b""
    deadline_s = time.monotonic() + SHOWN_S
    pressed = False
    while time.monotonic() < deadline_s:
        if select.select([terminal], [], [], 0.5)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # Linux's way to say that nobody has it open any more
                break
        if b"running" in said and not pressed:
            os.write(terminal, b"\x03")
            pressed = True
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), said.decode()


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_ctrl_c_under_make_ends_in_order_and_with_0(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "Makefile").write_text(f"up:\n\t@exec {sys.executable} program.py\n")

    code, said = on_a_terminal("make", "up", folder=tmp_path)

    assert (code, "stopped in order" in said) == (0, True), said
    assert "Interrupt" not in said
    assert "Error" not in said


def test_ctrl_c_is_heard_without_make_as_well(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)

    code, said = on_a_terminal(sys.executable, "program.py", folder=tmp_path)

    assert (code, "stopped in order" in said) == (0, True), said
