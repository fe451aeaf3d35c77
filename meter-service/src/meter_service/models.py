"""What the store holds. Rows are written by ``store`` only; the volume table is :class:`Reading`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Length
from django.db.models.lookups import Exact

MARKET_TIME = timezone(timedelta(hours=10))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


class KeyField(models.TextField):
    """Text that is compared and sorted byte by byte, on both engines."""

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """As Django's, with the collation."""
        collation = "C" if connection.vendor == "postgresql" else "BINARY"
        return {**super().db_parameters(connection), "collation": collation}


class MarketTimeField(models.BigIntegerField):
    """An aware instant in market time, kept as whole seconds since 1970-01-01 UTC.

    A third of the room of a time stamp, and no engine or setting can shift it.
    """

    def from_db_value(self, value: int | None, _expression: Any, _connection: Any) -> datetime | None:
        """The instant at +10:00."""
        return None if value is None else (_EPOCH + value * _SECOND).astimezone(MARKET_TIME)

    def to_python(self, value: Any) -> Any:
        """An instant, or what Django makes of other input."""
        return value if value is None or isinstance(value, datetime) else super().to_python(value)

    def get_prep_value(self, value: Any) -> Any:
        """Whole seconds; of a naive time, a TypeError."""
        return (value - _EPOCH) // _SECOND if isinstance(value, datetime) else super().get_prep_value(value)


class FlowFile(models.Model):
    """A flow file as it came, or a member of an archive; its original is in :class:`FlowFilePiece`."""

    class State(models.TextChoices):
        """What became of it."""

        RECEIVED = "received"
        IMPORTED = "imported"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"

    name = models.TextField(help_text="as sent, without folders")
    member = models.TextField(blank=True, default="", help_text="its path within the archive of that name")
    sha256 = KeyField(help_text="of the content, hexadecimal")
    size_bytes = models.BigIntegerField()
    kind = models.CharField(max_length=5, blank=True, default="", help_text="NEM12 or NEM13, once known")
    state = models.CharField(max_length=9, choices=State, default=State.RECEIVED)
    way = models.CharField(max_length=10, help_text="command, folder, upload or API")
    received_at = models.DateTimeField()
    received_from = models.TextField(help_text="who sent it")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="imported or rejected")
    header_created_at = MarketTimeField(null=True, blank=True)
    header_from = models.TextField(blank=True, default="")
    header_to = models.TextField(blank=True, default="")
    records = models.BigIntegerField(default=0)
    stored = models.BigIntegerField(default=0)
    duplicates = models.BigIntegerField(default=0)
    superseded = models.BigIntegerField(default=0, help_text="on arrival")
    warning_count = models.BigIntegerField(default=0)
    error_count = models.BigIntegerField(default=0)
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    withdrawn_by = models.TextField(blank=True, default="")
    withdrawn_reason = models.TextField(blank=True, default="")

    class Meta:
        """Table and rules."""

        db_table = "flow_file"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["sha256"], condition=~Q(state="withdrawn"), name="flow_file_once_a_content"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["received", "imported", "rejected", "withdrawn"]),
                name="flow_file_state",
            ),
            models.CheckConstraint(
                condition=Q(records=models.F("stored") + models.F("duplicates") + models.F("superseded")),
                name="flow_file_books_balance",
            ),
            models.CheckConstraint(condition=Q(size_bytes__gte=0), name="flow_file_size"),
            models.CheckConstraint(
                condition=Q(withdrawn_at__isnull=True) ^ Q(state="withdrawn"), name="flow_file_withdrawn_at"
            ),
        )
        indexes = (models.Index(fields=["state", "received_at"], name="flow_file_by_state"),)

    def __str__(self) -> str:
        """``archive/member``, or the name."""
        return f"{self.name}/{self.member}" if self.member else self.name


class FlowFilePiece(models.Model):
    """A piece of a file's original: zstd frames which, joined by number, are one compressed stream."""

    flow_file = models.ForeignKey(FlowFile, models.PROTECT, related_name="pieces", db_index=False)
    number = models.IntegerField()
    content = models.BinaryField()

    class Meta:
        """Table and rules."""

        db_table = "flow_file_piece"
        constraints = (models.UniqueConstraint(fields=["flow_file", "number"], name="flow_file_piece_once"),)


class FlowFileError(models.Model):
    """Why a file was rejected: the first 1,000 errors; ``line`` is that of the physical file, from 1."""

    flow_file = models.ForeignKey(FlowFile, models.PROTECT, related_name="errors", db_index=False)
    number = models.IntegerField()
    line = models.BigIntegerField(help_text="0: the file as a whole")
    record = models.TextField(blank=True, default="", help_text="100, 250, …")
    field = models.TextField(blank=True, default="")
    found = models.TextField(blank=True, default="", help_text="what stood there")
    expected = models.TextField(help_text="what would be right")

    class Meta:
        """Table and rules."""

        db_table = "flow_file_error"
        constraints = (models.UniqueConstraint(fields=["flow_file", "number"], name="flow_file_error_once"),)

    def __str__(self) -> str:
        """In one line."""
        return f"line {self.line}: {self.expected}"


class FlowFileWarning(models.Model):
    """What was unusual about a file that was imported: one row a kind."""

    flow_file = models.ForeignKey(FlowFile, models.PROTECT, related_name="warnings", db_index=False)
    kind = models.TextField()
    text = models.TextField()
    count = models.BigIntegerField()
    lines = models.JSONField(help_text="the first lines where it was met")

    class Meta:
        """Table and rules."""

        db_table = "flow_file_warning"
        constraints = (models.UniqueConstraint(fields=["flow_file", "kind"], name="flow_file_warning_once"),)

    def __str__(self) -> str:
        """In one line."""
        return f"{self.text} ({self.count})"


class MeterPoint(models.Model):
    """A connection point of the market."""

    nmi = KeyField(unique=True, help_text="National Metering Identifier, 10 characters, upper case")

    class Meta:
        """Table and rules."""

        db_table = "meter_point"
        constraints = (models.CheckConstraint(condition=Exact(Length("nmi"), 10), name="meter_point_nmi"),)

    def __str__(self) -> str:
        """The NMI."""
        return str(self.nmi)


class Meter(models.Model):
    """A meter at a meter point; the same serial number elsewhere is another row."""

    meter_point = models.ForeignKey(MeterPoint, models.PROTECT, related_name="meters", db_index=False)
    serial = KeyField(blank=True, help_text="upper case; empty where the file gave none")

    class Meta:
        """Table and rules."""

        db_table = "meter"
        constraints = (models.UniqueConstraint(fields=["meter_point", "serial"], name="meter_serial"),)
        indexes = (models.Index(fields=["serial"], name="meter_by_serial"),)

    def __str__(self) -> str:
        """The serial number."""
        return str(self.serial)


class Register(models.Model):
    """A register of a meter. ``unit`` and ``direction`` are those of its newest current reading."""

    meter = models.ForeignKey(Meter, models.PROTECT, related_name="registers", db_index=False)
    register_id = KeyField()
    suffix = KeyField(help_text="NMI suffix")
    unit = models.TextField()
    direction = models.TextField(blank=True, help_text="E: out of the grid, consumption; I: into the grid")

    class Meta:
        """Table and rules."""

        db_table = "register"
        constraints = (
            models.UniqueConstraint(fields=["meter", "register_id", "suffix"], name="register_key"),
        )

    def __str__(self) -> str:
        """``register suffix``."""
        return f"{self.register_id} {self.suffix}"


class Reading(models.Model):
    """A version of what a register showed at an instant.

    The key is (register, ``read_at``); one version of it is current. Foreign keys are not checked by the
    database here: they would more than halve the speed of an import, and nobody deletes their parents.
    ``value`` is in thousandths of the dial's unit, ``quantity`` in thousandths of the base unit (mWh, …).
    """

    register = models.ForeignKey(
        Register, models.DO_NOTHING, related_name="readings", db_constraint=False, db_index=False
    )
    read_at = MarketTimeField()
    is_current = models.BooleanField()
    value_text = models.TextField(help_text="as sent")
    value = models.BigIntegerField(help_text="thousandths of the dial's unit")
    quality = models.CharField(max_length=1)
    method = models.TextField(blank=True)
    reason_code = models.TextField(blank=True)
    reason_text = models.TextField(blank=True)
    quantity_text = models.TextField(blank=True, help_text="as sent; empty: missing")
    quantity = models.BigIntegerField(null=True, blank=True, help_text="thousandths of the base unit")
    unit = models.TextField(help_text="as sent")
    direction = models.TextField(blank=True)
    previous_value_text = models.TextField(blank=True)
    previous_value = models.BigIntegerField(null=True, blank=True)
    previous_read_at = MarketTimeField(null=True, blank=True)
    previous_quality = models.TextField(blank=True, help_text="quality and method")
    previous_reason_code = models.TextField(blank=True)
    previous_reason_text = models.TextField(blank=True)
    next_read_on = models.DateField(null=True, blank=True)
    updated_at = MarketTimeField(null=True, blank=True, help_text="the provider's version stamp")
    loaded_at = MarketTimeField(null=True, blank=True, help_text="MSATSLoadDateTime")
    configuration = models.TextField(blank=True, help_text="all suffixes of the NMI")
    data_stream = models.TextField(blank=True)
    nmi_as_sent = models.TextField(blank=True, help_text="where it differs from the key")
    serial_as_sent = models.TextField(blank=True, help_text="where it differs from the key")
    flow_file = models.ForeignKey(
        FlowFile, models.DO_NOTHING, related_name="readings", db_constraint=False, db_index=False
    )
    line = models.BigIntegerField()

    class Meta:
        """Table and rules. Each row is in one of the first two indexes; queries name ``is_current``."""

        db_table = "reading"
        constraints = (
            models.UniqueConstraint(
                fields=["register", "read_at"], condition=Q(is_current=True), name="reading_current"
            ),
            models.CheckConstraint(condition=Q(quality__in=["A", "E", "S", "F"]), name="reading_quality"),
            models.CheckConstraint(condition=~Q(value_text=""), name="reading_value_text"),
            models.CheckConstraint(
                condition=Q(quantity_text="") ^ Q(quantity__isnull=False), name="reading_quantity_text"
            ),
            models.CheckConstraint(condition=Q(line__gte=1), name="reading_line"),
        )
        indexes = (
            models.Index(
                fields=["register", "read_at"], condition=Q(is_current=False), name="reading_superseded"
            ),
            models.Index(fields=["flow_file"], name="reading_by_flow_file"),
        )

    def __str__(self) -> str:
        """``value unit at instant``."""
        return f"{self.value_text} {self.unit} at {self.read_at}"


class ReadingSource(models.Model):
    """Another place that held the same content as a version; the version lives while one of them is left."""

    reading = models.ForeignKey(
        Reading, models.DO_NOTHING, related_name="other_sources", db_constraint=False, db_index=False
    )
    flow_file = models.ForeignKey(FlowFile, models.DO_NOTHING, db_constraint=False, db_index=False)
    line = models.BigIntegerField()

    class Meta:
        """Table and rules."""

        db_table = "reading_source"
        constraints = (
            models.UniqueConstraint(fields=["reading", "flow_file", "line"], name="reading_source_once"),
        )
        indexes = (models.Index(fields=["flow_file"], name="reading_source_by_flow_file"),)


class ServiceOrder(models.Model):
    """A 550 record that follows a reading's 250, in the order of the file."""

    reading = models.ForeignKey(
        Reading, models.DO_NOTHING, related_name="service_orders", db_constraint=False, db_index=False
    )
    number = models.IntegerField()
    previous_code = models.TextField(blank=True)
    previous_order = models.TextField(blank=True)
    current_code = models.TextField(blank=True)
    current_order = models.TextField(blank=True)

    class Meta:
        """Table and rules."""

        db_table = "service_order"
        constraints = (models.UniqueConstraint(fields=["reading", "number"], name="service_order_once"),)
