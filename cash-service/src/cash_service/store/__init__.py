"""What cash-service remembers: companies, payments, sums, and what it had of the bank."""
