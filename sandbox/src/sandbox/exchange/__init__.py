"""The exchange: our confirmations pushed over websockets, and the nightly file of all of them."""
