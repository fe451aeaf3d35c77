"""What the provider publishes when, and what can go wrong with it. No I/O, no clock."""
