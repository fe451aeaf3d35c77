"""The outside world, simulated honestly, with faults on demand: the exchange and the market data provider."""
