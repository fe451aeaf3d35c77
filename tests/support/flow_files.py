"""NEM13 flow files made for tests, a line a reading."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

HEADER = "100,NEM13,202611011200,MDPX,RETAILER"


@dataclass(frozen=True)
class Read:
    """A 250 record, and the 550 records that follow it."""

    nmi: str = "4102035611"
    serial: str = "01002"
    value: str = "000877.5"
    at: str = "20260901100333"
    quality: str = "A"
    reason: str = ""
    words: str = ""
    quantity: str = "120.5"
    unit: str = "kWh"
    register: str = "1"
    suffix: str = "11"
    previous: str = "000757.0"
    previous_at: str = "20260601100000"
    next_on: str = "20261201"
    updated: str = "20260902080000"
    orders: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """As they stand in a file."""
        fields = (
            "250", self.nmi, self.suffix, self.register, self.suffix, "", self.serial, "E", self.previous,
            self.previous_at, "A", "", "", self.value, self.at, self.quality, self.reason, self.words,
            self.quantity, self.unit, self.next_on, self.updated, "",
        )  # fmt: skip
        return [",".join(fields), *self.orders]

    def but(self, **changes: str) -> Read:
        """The same with other fields."""
        return replace(self, **changes)


def flow_file(*reads: Read) -> bytes:
    """A whole file."""
    lines = [HEADER, *(line for read in reads for line in read.lines()), "900"]
    return "".join(f"{line}\r\n" for line in lines).encode()
