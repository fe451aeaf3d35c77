"""What pricing-service does: poll the provider within its limits, answer from what is kept."""

from pricing_service.usecases.pace import Pace
from pricing_service.usecases.poller import Poller
from pricing_service.usecases.questions import ages, day, history, learn_traded, status, watch
from pricing_service.usecases.running import Polling, UntilItWorks

__all__ = [
    "Pace",
    "Poller",
    "Polling",
    "UntilItWorks",
    "ages",
    "day",
    "history",
    "learn_traded",
    "status",
    "watch",
]
