"""The admin of readings, meter points and flow files."""
