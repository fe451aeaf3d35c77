"""A small typed client of the public API, as a careful customer would write one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

import httpx

NDJSON = "application/x-ndjson"
CSV = "text/csv"
JSON = "application/json"
TIMEOUT_S = 60.0


def exact(text: str | bytes) -> Any:
    """JSON with its decimals as they are written: no float."""
    return json.loads(text, parse_float=Decimal)


@dataclass(frozen=True)
class BatchAnswer:
    """What ``POST /v1/trades/batch`` answered."""

    added: int
    duplicate: int
    conflict: int
    invalid: int
    rows: list[dict[str, Any]]

    def reason(self, row: int) -> str:
        """Why a row was refused."""
        return next(str(found["reason"]) for found in self.rows if found["row"] == row)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """added, duplicate, conflict, invalid."""
        return self.added, self.duplicate, self.conflict, self.invalid


class Client:
    """One user's connection to the gateway; use it from one thread."""

    def __init__(self, base_url: str, name: str, password: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self.base_url = base_url
        self.name = name
        self.password = password
        self.http = httpx.Client(
            base_url=base_url, auth=(name, password), timeout=timeout_s, trust_env=False, verify=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    def again(self) -> "Client":
        """Another connection of the same user, for another thread."""
        return Client(self.base_url, self.name, self.password)

    def book(self, trade: dict[str, Any]) -> httpx.Response:
        return self.http.post("/v1/trades", content=json.dumps(trade), headers={"Content-Type": JSON})

    def added(self, trade: dict[str, Any]) -> None:
        """Book it and insist that it was added."""
        answer = self.book(trade)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"] == "added", answer.text

    def trades(self, **query: object) -> list[dict[str, Any]]:
        answer = self.http.get("/v1/trades", params=_said(query))
        assert answer.status_code == 200, answer.text
        return list(exact(answer.text))

    def pages(self, **query: object) -> Iterator[list[dict[str, Any]]]:
        """Page after page by following ``Link: …; rel="next"``."""
        answer = self.http.get("/v1/trades", params=_said(query))
        while True:
            assert answer.status_code == 200, answer.text
            yield exact(answer.text)
            following = answer.links.get("next")
            if following is None:
                return
            answer = self.http.get(following["url"])

    def batch(
        self, content: bytes | str, content_type: str = NDJSON, *, accept: str = JSON, **query: object
    ) -> BatchAnswer:
        answer = self.post_batch(content, content_type, accept=accept, **query)
        assert answer.status_code == 200, answer.text[:2000]
        return read_batch(answer)

    def post_batch(
        self, content: bytes | str, content_type: str = NDJSON, *, accept: str = JSON, **query: object
    ) -> httpx.Response:
        headers = {"Content-Type": content_type, "Accept": accept}
        return self.http.post("/v1/trades/batch", content=content, headers=headers, params=_said(query))

    def report(self, trader_id: str, delivery_day: object, **query: object) -> dict[str, Any]:
        answer = self.get_report(trader_id, delivery_day, **query)
        assert answer.status_code == 200, answer.text
        return dict(exact(answer.text))

    def get_report(
        self,
        trader_id: str,
        delivery_day: object,
        *,
        kind: str = "pnl",
        headers: dict[str, str] | None = None,
        **query: object,
    ) -> httpx.Response:
        asked = _said({"trader_id": trader_id, "delivery_day": delivery_day, **query})
        return self.http.get(f"/v1/reports/{kind}", params=asked, headers=headers or {})

    def add_user(self, name: str, password: str, *roles: str, trader_id: str | None = None) -> httpx.Response:
        body = {"name": name, "password": password, "roles": list(roles), "trader_id": trader_id}
        return self.http.post("/v1/users", json=body)


def read_batch(answer: httpx.Response) -> BatchAnswer:
    """The counts and rows of either form of the answer."""
    if answer.headers["content-type"].startswith(NDJSON):
        lines = [exact(line) for line in answer.text.splitlines() if line]
        counts = lines[-1]["summary"]
        rows = lines[:-1]
    else:
        counts = exact(answer.text)
        rows = counts["rows"]
    names = ("added", "duplicate", "conflict", "invalid")
    return BatchAnswer(*(counts[name] for name in names), rows=rows)


def _said(query: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}
