"""One warning when a collector stops taking what is sent, one line when it takes it again."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

_log = logging.getLogger("wattbook.telemetry")


class Told:
    """Whether the collector of one signal takes what is sent; exporters are called from one thread each."""

    def __init__(self, signal: str, endpoint: str) -> None:
        """Nothing has failed yet."""
        self._signal = signal
        address = urlsplit(endpoint)
        self._collector = f"{address.hostname}:{address.port}" if address.port else str(address.hostname)
        self._is_failing = False
        self._lock = threading.Lock()

    def about(self, worked: bool) -> None:
        """How sending went."""
        with self._lock:
            changed, self._is_failing = self._is_failing is worked, not worked
        if changed:
            extra = {"signal": self._signal, "collector": self._collector}
            if worked:
                _log.info("telemetry is taken again", extra=extra)
            else:
                _log.warning("telemetry cannot be sent and is dropped; nothing else suffers", extra=extra)
