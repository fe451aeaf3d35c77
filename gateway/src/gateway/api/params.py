"""Parameters as the OpenAPI document declares them, compiled once; each refusal names its parameter."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from wattbook.errors import InvalidInput
from wattbook.periods import FIRST_DAY, LAST_DAY

Check = Callable[[str], Any]
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_REMEMBERED = 4_096
_REMEMBERED_BYTES = 256


class Parameters:
    """The query and path parameters of one operation."""

    def __init__(self, declared: Sequence[Mapping[str, Any]]) -> None:
        """Compile what the document declares."""
        self._query = {each["name"]: _check_of(each) for each in declared if each["in"] == "query"}
        self._path = {each["name"]: _check_of(each) for each in declared if each["in"] == "path"}
        self._required = [
            each["name"] for each in declared if each["in"] == "query" and each.get("required", False)
        ]
        self._parsed_query = lru_cache(maxsize=_REMEMBERED)(self._parse_query)

    def read(self, scope: Mapping[str, Any]) -> Mapping[str, Any]:
        """Every parameter given, in its type.

        Raises:
            InvalidInput: one is unknown, missing, repeated, or not as declared.
        """
        raw = scope["query_string"]
        query = self._parsed_query(raw) if len(raw) <= _REMEMBERED_BYTES else self._parse_query(raw)
        if not self._path:
            return query
        path = {name: check(scope["path_params"][name]) for name, check in self._path.items()}
        return {**query, **path}

    def _parse_query(self, raw: bytes) -> Mapping[str, Any]:
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
        except ValueError:
            raise InvalidInput("the query string is malformed") from None
        values: dict[str, Any] = {}
        for name, text in pairs:
            check = self._query.get(name)
            if check is None:
                raise InvalidInput(f"{name[:100]}: unknown parameter")
            if name in values:
                raise InvalidInput(f"{name}: given twice")
            values[name] = check(text)
        for name in self._required:
            if name not in values:
                raise InvalidInput(f"{name}: missing")
        return MappingProxyType(values)


def _check_of(parameter: Mapping[str, Any]) -> Check:
    schema = parameter["schema"]
    name = parameter["name"]
    if schema["type"] == "integer":
        return _integer(name, schema)
    if schema.get("format") == "date":
        return _date(name)
    if schema["type"] == "array":
        return _list(name, schema)
    if schema["type"] != "string":
        raise TypeError(f"parameter {name}: type {schema['type']} is not supported")
    return _string(name, schema)


def _integer(name: str, schema: Mapping[str, Any]) -> Check:
    least, most = schema["minimum"], schema["maximum"]

    def check(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not least <= int(text) <= most:
            raise InvalidInput(f"{name}: expected a whole number from {least} to {most}")
        return int(text)

    return check


def _date(name: str) -> Check:
    def check(text: str) -> dt.date:
        try:
            day = dt.date.fromisoformat(text) if _DAY.fullmatch(text) else None
        except ValueError:
            day = None
        if day is None:
            raise InvalidInput(f"{name}: expected a date (YYYY-MM-DD) that exists")
        if not FIRST_DAY <= day <= LAST_DAY:
            raise InvalidInput(f"{name}: outside {FIRST_DAY}…{LAST_DAY}")
        return day

    return check


def _list(name: str, schema: Mapping[str, Any]) -> Check:
    """Words between commas (``style: form``, not exploded)."""
    allowed = schema["items"]["enum"]

    def check(text: str) -> tuple[str, ...]:
        words = tuple(text.split(","))
        if not set(words) <= set(allowed) or len(set(words)) < len(words):
            raise InvalidInput(f"{name}: expected some of {', '.join(allowed)}, with commas")
        return words

    return check


def _string(name: str, schema: Mapping[str, Any]) -> Check:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 1024)
    allowed = frozenset(schema.get("enum", ()))
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None

    def check(text: str) -> str:
        if allowed and text not in allowed:
            raise InvalidInput(f"{name}: expected one of {', '.join(sorted(allowed))}")
        if not least <= len(text) <= most:
            raise InvalidInput(f"{name}: expected {least} to {most} characters")
        if pattern and not pattern.search(text):
            raise InvalidInput(f"{name}: not in the form that is expected")
        return text

    return check
