"""What the bank does: make data, hand it out."""
