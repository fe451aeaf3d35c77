"""Company cash: payments as the bank tells them, and balances that open into their payments."""
