"""What is true of a desk on one machine and of what the command shows; no I/O."""
