"""What we do with the drop folder: look at it, take a file in, finish what a stopped process began."""

from ingest_service.usecases.look import Rounds
from ingest_service.usecases.parts import Parts
from ingest_service.usecases.take_in import finish_interrupted, take_in

__all__ = ["Parts", "Rounds", "finish_interrupted", "take_in"]
