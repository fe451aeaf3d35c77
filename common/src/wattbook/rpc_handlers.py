"""Wrapping gRPC handlers, of the two kinds that we serve; another kind is not served."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

Behaviour = Callable[..., Any]
Wrap = Callable[[Behaviour], Behaviour]


def wrapped(handler: Any, *, unary: Wrap, streamed: Wrap) -> Any:
    """``handler`` with its behaviour wrapped by one of the two.

    Raises:
        NotImplementedError: it takes a stream of requests. Nothing here could guard it, so gRPC must fail it.
    """
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(
            unary(handler.unary_unary),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(
            streamed(handler.unary_stream),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
    raise NotImplementedError("a method that takes a stream of requests cannot be guarded yet")
