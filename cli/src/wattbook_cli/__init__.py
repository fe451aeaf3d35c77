"""The wattbook command."""
