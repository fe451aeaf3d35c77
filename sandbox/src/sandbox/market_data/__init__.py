"""The market data provider: the reference price of every hour, published every ten minutes, under limits."""
