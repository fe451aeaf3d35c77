"""What the command keeps: the data folder, the state of a running desk, signed-in users' tokens."""
