"""What the gateway does: verify people, give out tokens, keep users, pass trades and reports on."""
