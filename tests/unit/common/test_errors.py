"""One table: every error has a code, an HTTP and a gRPC status."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from wattbook.errors import (
    BY_CODE,
    BY_HTTP_STATUS,
    Internal,
    Unavailable,
    WattbookError,
    error_body,
    error_types,
)

TYPES = [kind for kind in error_types() if kind.__module__ == WattbookError.__module__]  # the table


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
def test_every_error_has_its_row_in_the_table(kind: type[WattbookError]) -> None:
    error = kind("what is wrong")

    assert 400 <= kind.http_status < 600
    assert grpc.StatusCode[kind.grpc_status] is not grpc.StatusCode.OK
    assert kind.__doc__
    assert error_body(error) == {
        "status_code": kind.http_status,
        "message": "what is wrong",
        "code": kind.code,
    }
    assert str(error) == error.message


def test_codes_and_http_statuses_are_unique() -> None:
    kinds = [kind for kind in TYPES if kind is not WattbookError]

    assert len({kind.code for kind in kinds}) == len(kinds) == len(BY_CODE) == len(BY_HTTP_STATUS)
    assert BY_CODE["internal"] is Internal


def test_the_public_body_carries_the_request_id_where_there_is_one() -> None:
    body = error_body(Unavailable("not now", retry_after_s=3), request_id="r-1")

    assert list(body) == ["status_code", "message", "code", "request_id"]
    assert body["request_id"] == "r-1"


def test_errors_and_sign_in_load_neither_grpc_nor_a_web_framework() -> None:
    auth = ("cookies", "endpoint", "gateway", "people", "revocations", "tokens")
    modules = ", ".join(["wattbook.errors", "wattbook.access", *(f"wattbook.auth.{name}" for name in auth)])
    loads = f"import sys, {modules}; print({{'grpc', 'flask', 'django', 'starlette'}} & set(sys.modules))"

    done = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"
