"""What is true of the bank: companies, accounts, payments, rates; no I/O."""
