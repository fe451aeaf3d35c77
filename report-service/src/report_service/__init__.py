"""Read models in memory, the pages that traders look at, and the reports."""
