"""Where people sign in, for tests of pages that need no real gateway."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

PASSWORD = "a horse of the right battery"


class SignInDesk:
    """Answers what pages ask of the gateway; knows some people by one password. ``asked`` are its forms."""

    def __init__(self, **people: dict[str, Any]) -> None:
        self.asked: list[dict[str, list[str]]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                asked.append(form)
                name = form.get("username", form.get("refresh_token", [""]))[0]
                known = name in people and form.get("password", [PASSWORD])[0] == PASSWORD
                tokens = {"access_token": name, "refresh_token": name, "expires_in": 3600}
                self.say(200, tokens) if known else self.say(401, {"message": "no"})

            def do_GET(self) -> None:
                name = self.headers["Authorization"].removeprefix("Bearer ")
                self.say(200, {"name": name, **people[name]})

            def say(self, status: int, content: dict[str, Any]) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
