"""Plumbing and vocabulary shared by the Wattbook services; no service's rules live here."""
