"""What the exchange says and writes, and what can go wrong with it. No I/O, no clock."""
