"""Who calls us: browsers, over Django."""
