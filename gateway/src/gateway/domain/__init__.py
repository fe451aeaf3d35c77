"""What is true about trades, people and passwords, without any I/O."""
