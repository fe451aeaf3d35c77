"""The commands as a person types them, and how answers look in a terminal."""
