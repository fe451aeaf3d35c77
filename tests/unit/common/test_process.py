"""How a process of ours lives: stops on a signal and with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from wattbook.process import shut_down


def test_the_vocabulary_is_had_without_loading_engines() -> None:
    program = (
        "import sys, wattbook.bus, wattbook.errors, wattbook.periods, wattbook.settings, wattbook.units\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'sqlite3') if name in sys.modules])\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )

    assert ended.stdout == "[]\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_and_every_step_runs(signum: signal.Signals) -> None:
    program = (
        "from wattbook.process import shut_down, stop_on_signals\n"
        "stopping = stop_on_signals()\n"
        "print('up', flush=True)\n"
        "assert stopping.wait(20)\n"
        "shut_down(lambda: print('first'), lambda: 1 / 0, lambda: print('last'))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"

    child.send_signal(signum)

    assert child.communicate(timeout=20)[0] == "first\nlast\n"
    assert child.returncode == 0


def test_a_signal_stops_whatever_the_waiting_thread_is_about() -> None:
    """A handler that waits for the event's lock, which the thread it interrupts may hold, never ends."""
    program = (
        "import os, random, signal, threading, time\n"
        "from wattbook.process import stop_on_signals\n"
        "stopping = stop_on_signals()\n"
        "def stop_soon():\n"
        "    time.sleep(random.random() / 1000)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "for _ in range(50):\n"
        "    stopping.clear()\n"
        "    threading.Thread(target=stop_soon, daemon=True).start()\n"
        "    while not stopping.wait(0):\n"
        "        pass\n"
        "print('stopped')\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60
    )

    assert ended.stdout == "stopped\n"


def test_a_signal_that_another_thread_is_given_stops_too() -> None:
    program = (
        "import os, signal, threading, time\n"
        "from wattbook.process import stop_on_signals, wait_for_stop\n"
        "stopping = stop_on_signals()\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # so that it is the other one\n"
        "print('ready', flush=True)\n"
        "wait_for_stop(stopping)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"

    child.send_signal(signal.SIGTERM)

    try:
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()


def test_a_child_does_not_outlive_its_killed_parent() -> None:
    child = (
        "import sys\n"
        "from wattbook.process import stop_on_signals, stop_with_parent\n"
        "stopping = stop_on_signals()\n"
        "stop_with_parent(stopping, every_s=0.02)\n"
        "print('up', flush=True)\n"
        "stopping.wait(30)\n"
        "print('gone', flush=True)\n"
    )
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"
    started = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "up\n"

    os.kill(started.pid, signal.SIGKILL)

    assert started.stdout.readline() == "gone\n"  # the child had the same standard output
    started.wait(10)


def test_a_failing_step_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    shut_down(lambda: 1 / 0)  # type: ignore[arg-type, return-value]

    assert "ZeroDivisionError" in caplog.text
