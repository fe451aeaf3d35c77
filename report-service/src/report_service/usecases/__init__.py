"""What we do: keep the read model complete, answer reports from it, sign people in."""
