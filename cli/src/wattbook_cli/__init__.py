"""The ``wattbook`` command."""
