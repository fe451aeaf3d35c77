"""The live page as a browser gets it: its addresses, a signed-in reader, and the figures in its cells."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from types import TracebackType
from typing import Self

import httpx

LIVE_PATH = "/traders/{trader_id}/days/{day}"
STREAM_PATH = LIVE_PATH + "/stream"
TOTAL_SLOTS = {
    "trades": "total.trades",
    "pnl_eur": "total.pnl",
    "average_eur_per_mwh": "total.ours",
    "edge_eur": "total.edge",
}
_CELL = r'data-slot="{}"[^>]*>(.*?)</t[dh]>'


class PageReader:
    """Somebody signed in at the pages, without a browser; use it from one thread."""

    def __init__(self, pages_url: str, name: str, password: str) -> None:
        self.http = httpx.Client(
            base_url=pages_url,
            timeout=60,
            trust_env=False,
            verify=False,
            headers={"Accept-Language": "en-GB"},
        )
        form = self.http.get("/sign-in")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
        answer = self.http.post(
            "/sign-in",
            data={"csrf_token": token.group(1) if token else "", "username": name, "password": password},
            headers={"Referer": str(form.url)},
        )
        assert answer.status_code in (302, 303), answer.text[:500]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.http.close()

    @property
    def cookie(self) -> str:
        """The header that says who this is."""
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())

    def totals(self, trader_id: str, day: str) -> dict[str, Decimal | None]:
        """The figures of the day's last line, by the report's names; None is shown as not known."""
        answer = self.http.get(LIVE_PATH.format(trader_id=trader_id, day=day))
        assert answer.status_code == 200, answer.text[:500]
        return {name: figure(cell_text(answer.text, slot)) for name, slot in TOTAL_SLOTS.items()}


def cell_text(page: str, slot: str) -> str:
    """What is written in a cell of the table."""
    found = re.search(_CELL.format(re.escape(slot)), page, re.DOTALL)
    assert found, f"no cell {slot}"
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found.group(1))).split())


def figure(text: str) -> Decimal | None:
    """A shown number; None where there is none."""
    found = re.search(r"[+−-]?\s?[\d,]*\d(?:\.\d+)?", text)
    if found is None:
        return None
    return Decimal(found.group().replace("−", "-").replace(",", "").replace(" ", "").replace("+", ""))
