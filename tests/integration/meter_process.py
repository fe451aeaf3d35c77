"""meter-service for tests: a process of its own, and people signed in at its pages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx
from wattbook import rpc

from tests.support.ports import free_port
from tests.support.sign_in import PASSWORD
from tests.support.waiting import wait_until

TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class MeterProcess:
    """``python -m meter_service.app`` on a store of its own."""

    def __init__(self, folder: Path, *, gateway_url: str, **environment: str) -> None:
        self.target = f"127.0.0.1:{free_port()}"
        self.http_target = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.http_target}"
        self.log_path = folder / "meter.log"
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "WATTBOOK_METER_LISTEN": self.target,
            "WATTBOOK_METER_HTTP_LISTEN": self.http_target,
            "WATTBOOK_METER_STORE_URL": f"sqlite:///{folder / 'meter.db'}",
            "WATTBOOK_GATEWAY_URL": gateway_url,
            "WATTBOOK_SESSION_KEY": "only for this test, and long enough",
            "WATTBOOK_STOP_WITH_PARENT": "true",
            "WATTBOOK_OPEN_WALLS": "true",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start, and wait until it answers."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "meter_service.app"]
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        wait_until(lambda: rpc.is_healthy(self.target), timeout_s=30, what="meter-service is ready")
        return self

    def close(self) -> None:
        """End it in order."""
        assert self.process is not None
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log_path.read_text()[-2000:]


class MeterUser:
    """Somebody at the pages, without a browser."""

    def __init__(self, url: str, name: str = "") -> None:
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        if name:
            assert self.sign_in(name).status_code == 303

    def sign_in(self, name: str, *, password: str = PASSWORD, wanted: str = "") -> httpx.Response:
        """Send the form."""
        address = "/admin/sign-in" + (f"?next={wanted}" if wanted else "")
        fields = {"username": name, "password": password, "next": wanted}
        return self.post("/admin/sign-in", fields, form=address)

    def post(
        self, path: str, fields: dict[str, str] | None = None, *, form: str = "",
        files: Sequence[tuple[str, bytes]] = (), accept: str = "text/html",
    ) -> httpx.Response:  # fmt: skip
        """Send a form that stands on the page ``form``."""
        found = TOKEN.search(self.http.get(form or path).text)
        token = {"csrfmiddlewaretoken": found.group(1)} if found else {}
        sent = [("files", each) for each in files]
        return self.http.post(path, data={**token, **(fields or {})}, files=sent, headers={"Accept": accept})

    def upload(self, *files: tuple[str, bytes]) -> list[tuple[str, str]]:
        """Upload files as the script does; name and result of each."""
        answer = self.post("/admin/flow-files/upload", files=files, accept="application/json")
        return [(each["name"], each["result"]) for each in answer.json()["results"]]

    def page(self, path: str) -> str:
        """A page's text without its tags."""
        return words(self.http.get(path).text)

    def close(self) -> None:
        """Let go of connections."""
        self.http.close()


def words(page: str) -> str:
    """What a page says, in one line."""
    main = page[page.find("<main") :]
    return " ".join(re.sub(r"<[^>]+>", " ", main).split())
