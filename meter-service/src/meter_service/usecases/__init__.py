"""What can be done with flow files: import, look only, catch up, retry, withdraw."""

from meter_service.usecases.importing import Sender, catch_up, import_file, import_received, look_at, retry
from meter_service.usecases.withdrawing import preview, withdraw

__all__ = ["Sender", "catch_up", "import_file", "import_received", "look_at", "preview", "retry", "withdraw"]
