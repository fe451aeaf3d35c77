"""The trader's page under refresh: signed in, with the ETag of the last answer."""

from __future__ import annotations

import re

import httpx

from bench import load
from bench.context import Context, Row, at_least, plain
from bench.data import DAYS
from tests.support.desk import Desk

CONNECTIONS = 64
GOAL_PER_S = 1000
PATH = f"/traders/trader_1/days/{DAYS[0]}"


def run(context: Context) -> list[Row]:
    loaded = context.loaded()
    with context.product(loaded.folder) as desk:
        cookie, etag, size = sign_in(desk)
        asked = load.Load(desk.pages_url, CONNECTIONS, headers={"Cookie": cookie}, paths=(PATH,))
        refresh = load.Load(**{**vars(asked), "headers": {"Cookie": cookie, "If-None-Match": etag}})
        load.run(refresh, seconds=context.sizes.warm_up_s).clean()
        unchanged = load.run(refresh, seconds=context.sizes.seconds).clean()
        whole = load.run(asked, seconds=context.sizes.seconds).clean()
    return [
        at_least(
            "page refreshed with its ETag (304), 64 connections", unchanged.per_second, GOAL_PER_S, "/s"
        ),
        plain("  p50", unchanged.p50_ms, "ms", decimals=1),
        plain("  p99", unchanged.p99_ms, "ms", decimals=1),
        plain(f"  the whole page ({size / 1000:.0f} kB)", whole.per_second, "/s"),
        plain("  its p99", whole.p99_ms, "ms", decimals=1),
    ]


def sign_in(desk: Desk) -> tuple[str, str, int]:
    """The session's cookie, the page's ETag and its size."""
    with httpx.Client(base_url=desk.pages_url, timeout=20, trust_env=False, follow_redirects=True) as http:
        form = http.get("/sign-in")
        token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form.text)
        fields = {
            "csrf_token": token.group(1) if token else "",
            "username": "admin",
            "password": desk.admin_password,
        }
        http.post("/sign-in", data=fields, headers={"Referer": str(form.url)}).raise_for_status()
        page = http.get(PATH)
        cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
        again = http.get(PATH, headers={"If-None-Match": page.headers["etag"]})
        if (page.status_code, again.status_code) != (200, 304):
            raise RuntimeError(f"the page answered {page.status_code}, then {again.status_code}")
        return cookie, page.headers["etag"], len(page.content)
