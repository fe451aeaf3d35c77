"""Whom the command calls: the gateway, and the processes it starts."""
