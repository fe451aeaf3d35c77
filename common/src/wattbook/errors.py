"""The one error table: type → stable code → HTTP and gRPC status.

Raise these from any room. The edges translate them: the gateway into the contract's body
``{"status_code": …, "message": …}``, :mod:`wattbook.rpc` into a gRPC status and back.
Messages are for callers: they say what is wrong and never carry a secret or a stack trace.
"""

from __future__ import annotations

from typing import Any, ClassVar


class WattbookError(Exception):
    """A refusal that a caller is told about.

    Subclasses set ``code`` (stable, for machines), ``http_status`` and ``grpc_status``,
    the name of a status of gRPC, which most of what raises these has no need to load.
    """

    code: ClassVar[str] = "internal"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        """Keep what the caller is told; ``retry_after_s`` becomes ``Retry-After`` where it is set."""
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class InvalidInput(WattbookError):
    """What was sent cannot be right, whenever it is sent."""

    code = "invalid_input"
    http_status = 400
    grpc_status = "INVALID_ARGUMENT"


class Unauthenticated(WattbookError):
    """Nobody, or nobody we know, is asking."""

    code = "unauthenticated"
    http_status = 401
    grpc_status = "UNAUTHENTICATED"


class Forbidden(WattbookError):
    """The caller is known and may not do this."""

    code = "forbidden"
    http_status = 403
    grpc_status = "PERMISSION_DENIED"


class NotFound(WattbookError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404
    grpc_status = "NOT_FOUND"


class MethodNotAllowed(WattbookError):
    """The thing exists and does not do that."""

    code = "method_not_allowed"
    http_status = 405
    grpc_status = "UNIMPLEMENTED"


class NotAcceptable(WattbookError):
    """None of the forms asked for can be served."""

    code = "not_acceptable"
    http_status = 406


class Conflict(WattbookError):
    """It contradicts what is already there."""

    code = "conflict"
    http_status = 409
    grpc_status = "ALREADY_EXISTS"


class TooLarge(WattbookError):
    """It is over a limit on size."""

    code = "too_large"
    http_status = 413
    grpc_status = "OUT_OF_RANGE"


class UnsupportedMediaType(WattbookError):
    """The content type is none that this takes."""

    code = "unsupported_media_type"
    http_status = 415


class Rejected(WattbookError):
    """It was read, and what it says cannot be taken in."""

    code = "rejected"
    http_status = 422
    grpc_status = "FAILED_PRECONDITION"


class TooManyRequests(WattbookError):
    """Slow down; ``retry_after_s`` says for how long."""

    code = "too_many_requests"
    http_status = 429
    grpc_status = "RESOURCE_EXHAUSTED"


class Internal(WattbookError):
    """A fault of ours; the log has the reason, the caller a request id to quote."""


class Unavailable(WattbookError):
    """Not now: something needed is down, full or too slow. Trying again later is safe."""

    code = "unavailable"
    http_status = 503
    grpc_status = "UNAVAILABLE"


def error_types() -> list[type[WattbookError]]:
    """Every error type of this table, the base included, each once; services' own are told as their base."""
    found: list[type[WattbookError]] = []
    waiting: list[type[WattbookError]] = [WattbookError]
    while waiting:
        kind = waiting.pop(0)
        if kind not in found and kind.__module__ == __name__:
            found.append(kind)
            waiting.extend(kind.__subclasses__())
    return found


BY_CODE: dict[str, type[WattbookError]] = {
    kind.code: kind for kind in error_types() if kind is not WattbookError
}

BY_HTTP_STATUS: dict[int, type[WattbookError]] = {kind.http_status: kind for kind in BY_CODE.values()}


def error_body(error: WattbookError, *, request_id: str | None = None) -> dict[str, Any]:
    """The public body of an error: the contract's two fields, then the stable code and the request id."""
    body: dict[str, Any] = {
        "status_code": error.http_status,
        "message": error.message,
        "code": error.code,
    }
    if request_id:
        body["request_id"] = request_id
    return body
