"""Whom we call: trade-service over gRPC, the gateway over HTTP. Every call has a deadline."""
