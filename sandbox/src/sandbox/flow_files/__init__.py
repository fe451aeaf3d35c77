"""Flow files of made-up meter points: as a metering data provider sends them, and as none should."""
