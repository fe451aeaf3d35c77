"""The simulated market that the exchange and the provider both show: hours, prices, order books, orders."""
