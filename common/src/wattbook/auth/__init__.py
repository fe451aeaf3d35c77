"""Who asks, and whether they still may: shared by the gateway, its services and whoever shows pages."""
