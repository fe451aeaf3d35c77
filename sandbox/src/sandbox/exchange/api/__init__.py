"""Who calls the exchange: listeners over websockets, tests and people over the control endpoint."""
