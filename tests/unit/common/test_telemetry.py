"""Log lines and the ids that tie them together."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from threading import Thread

import pytest
from wattbook import telemetry
from wattbook.telemetry import JsonFormatter, TextFormatter, TraceContext, new_context, within

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("x.y").makeRecord(
        "x.y", logging.INFO, __file__, 1, message, args, None, extra=extra
    )
    assert isinstance(made, logging.LogRecord)
    return made


def test_a_line_is_one_json_object_with_ids_and_extras() -> None:
    with within(TraceContext("t" * 32, "s" * 16, "r-1")):
        line = JsonFormatter("trade-service").format(
            record("booked %d\nof %s", 2, "ü", trader="t_1", when=object)
        )

    parsed = json.loads(line)
    assert "\n" not in line
    assert parsed["message"] == "booked 2\nof ü"
    assert parsed["service"] == "trade-service"
    assert (parsed["request_id"], parsed["trace_id"], parsed["span_id"]) == ("r-1", "t" * 32, "s" * 16)
    assert parsed["trader"] == "t_1"
    assert parsed["time"].endswith("+00:00")


def test_an_extra_never_hides_what_every_line_has() -> None:
    line = json.loads(
        JsonFormatter("gateway").format(record("x", service="other", level="none", time="never"))
    )

    assert (line["service"], line["level"]) == ("gateway", "info")
    assert line["time"] != "never"


STEERING = "bye\x1b[2J\x9b31m\u202e"


def test_what_others_wrote_steers_no_terminal_that_shows_a_line() -> None:
    try:
        raise ValueError(STEERING)
    except ValueError:
        made = logging.getLogger().makeRecord(
            "x",
            logging.ERROR,
            "f",
            1,
            "closed: %s\nforged",
            (STEERING,),
            sys.exc_info(),
            extra={"url": STEERING},
        )

    text, line = TextFormatter("s").format(made), JsonFormatter("s").format(made)

    assert all(part.isprintable() for part in text.splitlines())
    assert "closed: bye\\x1b[2J\\x9b31m\\u202e\\nforged url=bye" in text.splitlines()[0]
    assert text.splitlines()[-1] == "ValueError: bye\\x1b[2J\\x9b31m\\u202e"
    assert line.isprintable()
    assert json.loads(line)["url"] == STEERING


def test_an_exception_stays_on_its_line() -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        made = logging.getLogger().makeRecord("x", logging.ERROR, "f", 1, "failed", (), sys.exc_info())

    parsed = json.loads(JsonFormatter("s").format(made))

    assert parsed["exception"].endswith("ValueError: boom")


def test_people_read_text() -> None:
    text = TextFormatter("gateway").format(record("ready", port=8080))

    assert text.endswith("INFO    gateway: ready port=8080")


@pytest.mark.parametrize(
    ("traceparent", "kept"),
    [
        (PARENT, True),
        (PARENT.replace("00-", "01-", 1) + "-more", True),
        ("", False),
        (PARENT.upper(), False),
        (PARENT + "\n", False),
        (PARENT.replace("00-", "ff-", 1), False),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", False),
        ("00-" + "a" * 32 + "-" + "0" * 16 + "-01", False),
        ("x" * 10_000, False),
    ],
)
def test_a_trace_goes_on_only_from_a_valid_parent(traceparent: str, kept: bool) -> None:
    context = new_context(traceparent)

    assert (context.trace_id == "a" * 32) is kept
    assert new_context(context.traceparent).trace_id == context.trace_id
    assert context.span_id != "b" * 16


def test_the_context_ends_with_its_block_and_belongs_to_its_thread() -> None:
    seen: list[object] = []
    with within(new_context(PARENT)) as context:
        thread = Thread(target=lambda: seen.append(telemetry.current()))
        thread.start()
        thread.join()
        inside = telemetry.current_traceparent()

    assert seen == [None]
    assert inside == context.traceparent
    assert telemetry.current_traceparent() == ""


@pytest.mark.parametrize("json_lines", ["True", "None"])
def test_a_process_writes_json_where_nobody_watches(json_lines: str) -> None:
    program = (
        "import logging\n"
        "from wattbook.telemetry import configure_logging\n"
        f"configure_logging('s', level='warning', json_lines={json_lines})\n"
        "logging.getLogger('a').info('not shown')\n"
        "logging.getLogger('a').warning('shown', extra={'n': 1})\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=30
    )

    (line,) = ended.stderr.splitlines()
    assert (
        json.loads(line).items() >= {"message": "shown", "n": 1, "service": "s", "level": "warning"}.items()
    )
