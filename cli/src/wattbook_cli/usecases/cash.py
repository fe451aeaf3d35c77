"""Companies' cash as the gateway tells it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from wattbook_cli.clients.gateway import Gateway, exact
from wattbook_cli.domain.stops import Stop

_PAGE = 1_000
_MOST_NAMED = 5


def asked(gateway: Gateway, path: str, *, query: Mapping[str, str | None] | None = None) -> dict[str, Any]:
    """One answer, figures exact.

    Raises:
        Stop: the gateway refuses or does not answer.
    """
    return dict(exact(gateway.ask("GET", path, query=query).text))


def listed(
    gateway: Gateway, path: str, name: str, *, query: Mapping[str, str | None], limit: int
) -> list[dict[str, Any]]:
    """Up to ``limit`` of a list that comes in pages. Raises like :func:`asked`."""
    answer = gateway.ask("GET", path, query={**query, "limit": str(min(limit, _PAGE))})
    found = list(exact(answer.text)[name])
    while len(found) < limit and (following := answer.links.get("next", {}).get("url")):
        answer = gateway.ask("GET", following)
        found += exact(answer.text)[name]
    return found[:limit]


def companies(gateway: Gateway, *, query: str, limit: int) -> list[dict[str, Any]]:
    """Companies by name, number or IBAN, or part of either. Raises like :func:`asked`."""
    return listed(gateway, "/v1/companies", "companies", query={"q": query or None}, limit=limit)


def number_of(gateway: Gateway, company: str) -> int:
    """The number of a company that is named by it, or by what only it has.

    Raises:
        Stop: none has it, or several.
    """
    if company.isascii() and company.isdigit():
        return int(company)
    found = companies(gateway, query=company, limit=_MOST_NAMED + 1)
    alike = [each for each in found if each["name"].casefold() == company.casefold()]
    if len(alike) == 1:
        found = alike
    if len(found) == 1:
        return int(found[0]["id"])
    if not found:
        raise Stop(f"no company has {company!r} in its name, number or IBANs")
    named = ", ".join(f"{each['id']} {each['name']}" for each in found[:_MOST_NAMED])
    more = " and more" if len(found) > _MOST_NAMED else ""
    raise Stop(f"several companies have {company!r}: {named}{more}; give a number")


def recleaned(gateway: Gateway, *, keep: bool, told: Callable[[str], None]) -> dict[str, Any]:
    """The differences once all is run; ``told`` hears how far it is.

    Raises:
        Stop: the gateway refuses, or broke off.
    """
    query = {"keep": "true"} if keep else {}
    found: dict[str, Any] = {}
    with gateway.upload(
        "/v1/cash/reclean", content=(), content_type="application/octet-stream", query=query
    ) as lines:
        for line in lines:
            found = json.loads(line)
            told(f"{found['windows_done']:,} of {found['windows_total']:,} windows")
    if "differences" not in found:
        raise Stop("cleaning broke off before its end; nothing was changed by it")
    return found
