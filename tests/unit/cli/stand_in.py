"""A service stood in for: answers probes on a port, notes what happens to it, ends as it is told.

python stand_in.py --name N --port P --notes FILE [--mood MOOD] [--with-worker]
(moods: well, dies, settings, deaf, warns, silent)
"""

import _thread
import argparse
import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return None


class Server(ThreadingHTTPServer):
    allow_reuse_address = True

    def handle_error(self, *_: Any) -> None:
        return None


def note(path: Path, line: str) -> None:
    with path.open("a") as notes:
        notes.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--mood", default="well")
    parser.add_argument("--with-worker", action="store_true")
    said = parser.parse_args()

    note(said.notes, f"{said.name} started")
    if said.mood == "dies":
        print("the reason it died", file=sys.stderr)
        sys.exit(1)
    if said.mood == "settings":
        print("setting: WATTBOOK_X is not set", file=sys.stderr)
        sys.exit(78)

    stopping = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: note(said.notes, f"{said.name} interrupted"))

    def stop(*_: Any) -> None:
        _thread.start_new_thread(stopping.set, ())  # why not here: wattbook.process.stop_on_signals

    signal.signal(signal.SIGTERM, signal.SIG_IGN if said.mood == "deaf" else stop)
    if said.with_worker:
        sleeper = [sys.executable, "-c", "import time; time.sleep(600)  # a worker"]
        worker = subprocess.Popen(sleeper)
        note(said.notes, f"{said.name} worker {worker.pid}")
    if said.mood != "silent":
        server: socketserver.BaseServer = Server(("127.0.0.1", said.port), Health)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    if said.mood == "warns":
        signal.signal(signal.SIGUSR1, lambda *_: warn())
    while not stopping.wait(0.5):
        if os.getppid() == 1:
            break
    note(said.notes, f"{said.name} stopped")


def warn() -> None:
    for _ in range(3):
        print(json.dumps({"level": "warning", "message": "the wind has turned"}), file=sys.stderr, flush=True)
    print(json.dumps({"level": "info", "message": "not for you"}), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
