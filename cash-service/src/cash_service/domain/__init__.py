"""What is true of payments, companies and balances."""
