"""What cash-service does: follow the bank, and answer what is asked about companies."""
