"""The only public HTTP API: sign-in, limits, the one error shape; no business rules, no business data."""
