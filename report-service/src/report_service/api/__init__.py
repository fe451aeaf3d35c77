"""Who calls us: the bus (feed), the gateway over gRPC (rpc), browsers (web and what it mounts)."""
