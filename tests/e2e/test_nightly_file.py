"""The exchange's nightly file: dropped, booked once, kept; refused rows lie beside it with their reasons."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from tests.support.client import Client
from tests.support.desk import Desk
from tests.support.trades import FIELDS, HEADER, as_csv, figures_of_day, report_figures, trade, unique
from tests.support.waiting import wait_until

pytestmark = pytest.mark.flow("Nightly file")
PUBLISHED_NAME = "epex_trades_20230220.csv"


@dataclass
class Dropped:
    """A file put into the drop folder and what it was made of."""

    name: str
    trader_id: str
    content: bytes
    booked: list[str]
    refused_rows: list[int]


def rows_of(trader_id: str, count: int = 3) -> list[dict[str, object]]:
    return [trade(trader_id=trader_id, quantity=12.3, price=100 + number) for number in range(count)]


def file_name() -> str:
    return f"epex_trades_20230228_{unique('x')}.csv"


def written(
    text: Callable[[list[dict[str, object]]], str | bytes],
    *,
    refused: tuple[int, ...] = (),
    whole: bool = False,
) -> Dropped:
    """A file of three trades as ``text`` writes them; ``refused`` rows (or the whole) must not be booked."""
    trader_id = unique("trader")
    rows = rows_of(trader_id)
    content = text(rows)
    booked = [] if whole else [str(row["id"]) for at, row in enumerate(rows, 1) if at not in refused]
    return Dropped(
        file_name(),
        trader_id,
        content.encode() if isinstance(content, str) else content,
        booked,
        list(refused),
    )


def damaged(row: int, column: str, value: str) -> Callable[[list[dict[str, object]]], str]:
    def text(rows: list[dict[str, object]]) -> str:
        return as_csv([{**each, column: value} if at == row else each for at, each in enumerate(rows, 1)])

    return text


def with_quoted_commas(rows: list[dict[str, object]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, FIELDS, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows([*rows[:2], {**rows[2], "id": f'{rows[2]["id"]},"x"'}])
    rows[2]["id"] = f'{rows[2]["id"]},"x"'
    return out.getvalue()


def in_windows_1252(rows: list[dict[str, object]]) -> bytes:
    return as_csv([rows[0], {**rows[1], "trader_id": "jürgen"}, rows[2]]).encode("cp1252")


FILES: dict[str, Callable[[], Dropped]] = {
    "as published": lambda: written(as_csv),
    "reordered columns": lambda: written(lambda rows: as_csv(rows, header=FIELDS[::-1])),
    "BOM": lambda: written(lambda rows: "\ufeff" + as_csv(rows)),
    "CRLF": lambda: written(lambda rows: as_csv(rows, newline="\r\n")),
    "no final newline": lambda: written(lambda rows: as_csv(rows).rstrip("\n")),
    "quoted commas": lambda: written(with_quoted_commas),
    "blank lines": lambda: written(lambda rows: as_csv(rows).replace("\n", "\n\n")),
    "Windows-1252": lambda: written(in_windows_1252, refused=(2,)),
    "a torn last line": lambda: written(lambda rows: as_csv(rows)[:-30], refused=(3,)),
    "price 1.5": lambda: written(damaged(2, "price", "1.5"), refused=(2,)),
    "quantity 0": lambda: written(damaged(1, "quantity", "0"), refused=(1,)),
    "quantity below a kW": lambda: written(damaged(1, "quantity", "0.00015"), refused=(1,)),
    "quantity NaN": lambda: written(damaged(3, "quantity", "NaN"), refused=(3,)),
    "quantity 1e309": lambda: written(damaged(3, "quantity", "1e309"), refused=(3,)),
    "direction BUY": lambda: written(damaged(1, "direction", "BUY"), refused=(1,)),
    "day 2023-02-30": lambda: written(damaged(1, "delivery_day", "2023-02-30"), refused=(1,)),
    "hour 24": lambda: written(damaged(1, "delivery_hour", "24"), refused=(1,)),
    "a time without zone": lambda: written(damaged(1, "execution_time", "2023-02-28T11:12:35"), refused=(1,)),
    "missing column": lambda: written(lambda rows: as_csv(rows, header=FIELDS[:-1]), whole=True),
    "extra column": lambda: written(
        lambda rows: as_csv([{**row, "mood": "good"} for row in rows], header=(*FIELDS, "mood")), whole=True
    ),
    "empty file": lambda: written(lambda rows: "", whole=True),
    "header only": lambda: written(lambda rows: HEADER + "\n", whole=True),
    "no header": lambda: written(lambda rows: as_csv(rows).split("\n", 1)[1], whole=True),
}


@pytest.fixture(scope="module")
def dropped(desk: Desk) -> dict[str, Dropped]:
    """Every file of the table, dropped together, each taken in by now."""
    files = {name: make() for name, make in FILES.items()}
    for each in files.values():
        desk.drop(each.name, each.content)
    for each in files.values():
        desk.wait_archived(each.name, timeout_s=60)
    return files


@pytest.mark.parametrize("case", FILES)
def test_of_each_file_exactly_the_good_rows_are_booked(
    admin: Client, dropped: dict[str, Dropped], case: str
) -> None:
    each = dropped[case]

    assert [found["id"] for found in admin.trades(trader_id=each.trader_id)] == each.booked


@pytest.mark.parametrize("case", FILES)
def test_each_file_is_kept_as_it_came(desk: Desk, dropped: dict[str, Dropped], case: str) -> None:
    each = dropped[case]

    assert (desk.archive / each.name).read_bytes() == each.content
    assert not (desk.inbox / each.name).exists()


@pytest.mark.parametrize("case", FILES)
def test_refused_rows_lie_beside_it_with_their_reasons(
    desk: Desk, dropped: dict[str, Dropped], case: str
) -> None:
    each = dropped[case]
    beside = desk.rejected / each.name

    is_empty_night = case == "header only"
    if not each.refused_rows and (each.booked or is_empty_night):
        assert not beside.exists()
        return
    with beside.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        rows = list(csv.reader(lines))
    assert rows[0][-1].strip().lower().startswith("reason")
    if each.refused_rows:
        assert len(rows) == 1 + len(each.refused_rows)
        assert all(row[-1] for row in rows[1:])


def test_the_published_example_is_booked_although_its_name_has_another_date(desk_without_it: Desk) -> None:
    trader_id = unique("trader")
    row = f"{unique()},120,12,sell,2023-02-28,14,{trader_id},2023-02-28T11:12:35Z"

    desk_without_it.drop(PUBLISHED_NAME, f"{HEADER}\n{row}")
    desk_without_it.wait_archived(PUBLISHED_NAME)

    with desk_without_it.client() as client:
        assert [found["quantity"] for found in client.trades(trader_id=trader_id)] == [12]
        wait_until(
            lambda: (
                report_figures(client.report(trader_id, "2023-02-28"))[1]
                == figures_of_day(client.trades(trader_id=trader_id), date(2023, 2, 28))[1]
            ),
            timeout_s=10,
            what="the file's trade is in the report",
        )
    assert not (desk_without_it.rejected / PUBLISHED_NAME).exists()


@pytest.fixture
def desk_without_it(desk: Desk) -> Iterator[Desk]:
    """The shared product, with nothing under the published name."""
    yield desk
    (desk.archive / PUBLISHED_NAME).unlink(missing_ok=True)


def test_the_same_content_again_is_nothing_new_whatever_its_name(
    desk: Desk, admin: Client, dropped: dict[str, Dropped]
) -> None:
    known = dropped["price 1.5"]
    again = file_name()

    desk.drop(again, known.content)
    wait_until(lambda: not (desk.inbox / again).exists(), timeout_s=30, what="the copy is dealt with")

    assert [found["id"] for found in admin.trades(trader_id=known.trader_id)] == known.booked
    assert not (desk.rejected / again).exists()


def test_a_file_that_is_still_being_written_is_left_until_it_is_whole(desk: Desk, admin: Client) -> None:
    trader_id = unique("trader")
    rows = rows_of(trader_id, 200)
    lines = as_csv(rows).encode().splitlines(keepends=True)
    name = file_name()
    target = desk.inbox / name

    with target.open("wb", buffering=0) as out:
        out.write(b"".join(lines[:100]))
        probe = desk.drop(file_name(), as_csv(rows_of(unique("trader"), 1)))
        desk.wait_archived(probe.name)  # time passed, and the watcher is awake
        out.write(b"".join(lines[100:]))
    desk.wait_archived(name)

    assert len(admin.trades(trader_id=trader_id)) == 200
    assert (desk.archive / name).read_bytes() == b"".join(lines)
    assert not (desk.rejected / name).exists()


def test_what_is_not_a_nightly_file_is_left_alone_and_said_once(desk: Desk, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.csv"
    outside.write_text(as_csv(rows_of(unique("trader"))))
    folder, link, other = (desk.inbox / name for name in (file_name(), file_name(), f"{unique('notes')}.csv"))
    folder.mkdir()
    os.symlink(outside, link)
    other.write_text(as_csv(rows_of(unique("trader"))))
    try:
        for _ in range(2):
            probe = desk.drop(file_name(), as_csv(rows_of(unique("trader"), 1)))
            desk.wait_archived(probe.name)

        assert folder.is_dir()
        assert link.is_symlink()
        assert other.exists()
        log = (desk.data / "logs" / "ingest-service.log").read_text()
        for left in (folder, link, other):
            said = [line for line in log.splitlines() if left.name in line]
            assert len(said) == 1, said
    finally:
        folder.rmdir()
        link.unlink()
        other.unlink()


def test_import_by_hand_says_what_became_of_the_rows(desk: Desk, admin: Client, tmp_path: Path) -> None:
    trader_id = unique("trader")
    path = tmp_path / "epex_trades_20230228.csv"
    path.write_text(damaged(2, "price", "1.5")(rows_of(trader_id)))

    done = desk.run("import", str(path))

    assert len(admin.trades(trader_id=trader_id)) == 2
    assert "Traceback" not in done.stderr
    assert "price" in done.stdout + done.stderr
    again = desk.run("import", str(path))
    assert len(admin.trades(trader_id=trader_id)) == 2
    assert "2" in again.stdout
