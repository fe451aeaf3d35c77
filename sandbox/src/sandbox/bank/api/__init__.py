"""Who calls the bank: its customers in two dialects, tests and people over the control endpoint."""
