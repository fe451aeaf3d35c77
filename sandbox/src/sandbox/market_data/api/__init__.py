"""Who calls the provider: its customers over HTTP, tests and people over the control endpoint."""
