"""What meter-service remembers, through Django's connection; engines differ only in here."""
