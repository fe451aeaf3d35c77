"""The OpenAPI documents: as they stand, resolved for connexion, and all in one."""

from __future__ import annotations

import copy
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

CONTRACT = "trades_api.yaml"
DOCUMENTS = (
    CONTRACT,
    "reports_api.yaml",
    "live_api.yaml",
    "meters_api.yaml",
    "cash_api.yaml",
    "users_api.yaml",
    "auth_api.yaml",
)
BASE_PATH = "/v1"
# In Python it takes most of a gateway's start.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def raw(name: str) -> bytes:
    """A document as it stands."""
    return (files("gateway") / "openapi" / name).read_bytes()


def document(name: str) -> dict[str, Any]:
    """A document that needs no other: what it refers to in the contract is copied in."""
    loaded = _load(name)
    if name == CONTRACT:
        return loaded
    _add_components(loaded, _load(CONTRACT))
    schemes = _load(CONTRACT)["components"]["securitySchemes"]
    loaded["components"]["securitySchemes"] = schemes
    result: dict[str, Any] = _local_references(loaded)
    return result


def everything() -> dict[str, Any]:
    """One document with what all of them say."""
    merged = _load(CONTRACT)
    merged["info"] = {
        "title": "Wattbook API",
        "version": merged["info"]["version"],
        "description": "\n".join(_load(name)["info"]["description"] for name in DOCUMENTS),
    }
    for name in DOCUMENTS[1:]:
        other = _local_references(_load(name))
        merged["paths"].update(other["paths"])
        merged["tags"].extend(other["tags"])
        _add_components(merged, other)
    return merged


def _load(name: str) -> dict[str, Any]:
    """A document that the caller may change."""
    return copy.deepcopy(_parsed(name))


@cache
def _parsed(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(raw(name), Loader=_LOADER)  # noqa: S506 - safe, in C or not
    return loaded


def _add_components(target: dict[str, Any], source: dict[str, Any]) -> None:
    for section, members in source["components"].items():
        if section != "securitySchemes":
            present = target["components"].setdefault(section, {})
            for name, member in members.items():
                present.setdefault(name, copy.deepcopy(member))


def _local_references(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            key: value.removeprefix(CONTRACT) if key == "$ref" else _local_references(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_local_references(item) for item in node]
    return node
