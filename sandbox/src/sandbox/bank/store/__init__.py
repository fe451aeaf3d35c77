"""Where made data lies: folders and databases."""
