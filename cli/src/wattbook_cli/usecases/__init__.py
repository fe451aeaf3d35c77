"""What the command does, one verb a function."""
