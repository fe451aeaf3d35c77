"""Wrapping gRPC handlers, of the three kinds that we serve; the fourth is not served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from wattbook.errors import WattbookError

Behaviour = Callable[..., Any]
Wrap = Callable[[Behaviour], Behaviour]


def wrapped(handler: Any, *, unary: Wrap, streamed: Wrap) -> Any:
    """``handler`` with its behaviour wrapped: ``unary`` where it gives one answer, also to many requests.

    Raises:
        NotImplementedError: it answers a stream of requests by a stream. Nothing here could guard it, so gRPC
            must fail it.
    """
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(
            unary(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.stream_unary:
        return grpc.stream_unary_rpc_method_handler(
            unary(_heard_out(handler.stream_unary)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(
            streamed(handler.unary_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    raise NotImplementedError("a method that answers a stream by a stream cannot be guarded yet")


def _heard_out(behaviour: Behaviour) -> Behaviour:
    """Refuses only after the last request: a caller that still sends would lose the reason."""

    def handle(requests: Any, context: Any) -> Any:
        try:
            return behaviour(requests, context)
        except WattbookError:
            for _ in requests:
                pass
            raise

    return handle
