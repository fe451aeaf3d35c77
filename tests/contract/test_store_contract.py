"""What every store engine promises, on each of them."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.compiler import compiles
from wattbook.db import (
    Migration,
    Store,
    StoreSettings,
    in_parameter,
    in_values,
    insert_new,
    insert_rows,
    migrate,
    open_store,
    prepare,
    rows_by_key,
)
from wattbook.errors import Unavailable
from wattbook.startup import await_store

from tests.support.children import started
from tests.support.disks import Ballast, read_only, small_disk
from tests.support.engines import NewStoreUrl
from tests.support.waiting import wait_until

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200), unique=True, nullable=False),
    sa.Column("parent", sa.ForeignKey("things.id")),
)


@dataclass
class Engine:
    """A place for stores, and the stores opened there."""

    url: str
    folder: Path
    _opened: list[Store] = field(default_factory=list)

    def open(self, url: str = "") -> Store:
        store = open_store(url or self.url, name="test")
        self._opened.append(store)
        return store

    def close(self) -> None:
        for store in self._opened:
            store.close()


@pytest.fixture
def engine(new_store_url: NewStoreUrl, tmp_path: Path) -> Iterator[Engine]:
    made = Engine(new_store_url("test"), tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(engine: Engine) -> Store:
    opened = engine.open()
    with opened.write() as connection:
        metadata.create_all(connection)
    return opened


def insert(store: Store, *names: str, durable: bool = True) -> None:
    with store.write(durable=durable) as connection:
        connection.execute(things.insert(), [{"name": name} for name in names])


def names(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(sa.select(things.c.name).order_by(things.c.id)))


# --- transactions


@pytest.mark.parametrize("durable", [True, False])
def test_a_finished_block_is_committed(engine: Engine, store: Store, durable: bool) -> None:
    insert(store, "a", "b", durable=durable)
    insert(store, "c")

    assert names(store) == ["a", "b", "c"]
    store.close()
    assert names(engine.open()) == ["a", "b", "c"]


def test_a_block_that_raises_leaves_nothing(store: Store) -> None:
    def half() -> None:
        with store.write() as connection:
            connection.execute(things.insert(), {"name": "a"})
            raise KeyError("x")

    with pytest.raises(KeyError):
        half()
    insert(store, "b")

    assert names(store) == ["b"]


def test_schema_changes_are_part_of_the_transaction(store: Store) -> None:
    def half() -> None:
        with store.write() as connection:
            connection.exec_driver_sql("CREATE TABLE other (id INTEGER)")
            raise KeyError("x")

    with pytest.raises(KeyError):
        half()

    with store.read() as connection:
        assert not sa.inspect(connection).has_table("other")


def test_a_reader_sees_one_snapshot_however_much_is_written_meanwhile(store: Store) -> None:
    insert(store, "a")
    count = sa.select(sa.func.count()).select_from(things)

    with store.read() as connection:
        before = connection.scalar(count)
        insert(store, "b", "c")
        during = connection.scalar(count)
    with store.read() as connection:
        after = connection.scalar(count)

    assert (before, during, after) == (1, 1, 3)


def test_a_reader_cannot_write_and_that_is_a_fault_not_an_outage(store: Store) -> None:
    with pytest.raises(DBAPIError), store.read() as connection:
        connection.execute(things.insert(), {"name": "a"})

    insert(store, "b")
    assert names(store) == ["b"]


def test_a_broken_rule_of_the_database_passes_through(store: Store) -> None:
    insert(store, "a")

    with pytest.raises(IntegrityError):
        insert(store, "b", "a")
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(things.insert(), {"name": "c", "parent": 4711})

    assert names(store) == ["a"]


def test_a_wrong_query_is_a_fault_not_an_outage(store: Store) -> None:
    for block in (store.read, store.write):
        with pytest.raises(DBAPIError), block() as connection:
            connection.execute(sa.text("SELECT nothing FROM nowhere"))


def test_many_writers_lose_no_update(store: Store) -> None:
    insert(store, "0")
    failures: list[BaseException] = []

    def add() -> None:
        try:
            for _ in range(25):
                with store.write() as connection:
                    value = int(connection.scalar(sa.select(things.c.name)) or 0)
                    connection.execute(things.update().values(name=str(value + 1)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []
    assert names(store) == ["400"]


def test_one_of_two_racing_inserts_wins(store: Store) -> None:
    start = threading.Barrier(8)
    outcomes: list[str] = []

    def race() -> None:
        start.wait(10)
        try:
            insert(store, "same")
        except IntegrityError:
            outcomes.append("refused")
        else:
            outcomes.append("added")

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(outcomes) == ["added"] + ["refused"] * 7


def test_readers_do_not_wait_for_a_writer(store: Store) -> None:
    insert(store, "a")

    with store.write() as connection:
        connection.execute(things.insert(), {"name": "b"})
        seen: list[list[str]] = []
        reader = threading.Thread(target=lambda: seen.append(names(store)))
        reader.start()
        reader.join(5)

        assert seen == [["a"]]


def test_a_write_inside_a_write_is_a_fault_and_not_a_deadlock(store: Store) -> None:
    with store.write(), pytest.raises(RuntimeError, match="already held"), store.write():
        pass


# --- many values


def test_any_number_of_values_can_be_looked_up(store: Store) -> None:
    odd = ["", "ü€", "it's", '"', "\\", "a\nb", "%", "0"]
    insert(store, *odd, *(f"n{n}" for n in range(1000)))

    with store.read() as connection:
        wanted = [*odd, *(f"n{n}" for n in range(0, 100_000, 2))]
        found = set(connection.scalars(sa.select(things.c.name).where(in_values(things.c.name, wanted))))
        ids = list(connection.scalars(sa.select(things.c.id).where(in_values(things.c.id, range(5, 8)))))
        none = list(connection.scalars(sa.select(things.c.id).where(in_values(things.c.id, []))))

        strange = in_values(things.c.name, ["n1", "a\0b", "\ud800", "n\0"])
        beside = list(connection.scalars(sa.select(things.c.name).where(strange)))

    assert found == {*odd, *(f"n{n}" for n in range(0, 1000, 2))}
    assert beside == ["n1"]
    assert (sorted(ids), none) == ([5, 6, 7], [])


class Explained(sa.sql.expression.Executable, sa.sql.expression.ClauseElement):
    """How the engine would answer a query."""

    inherit_cache = False

    def __init__(self, query: sa.Select[Any]) -> None:
        self.query = query


@compiles(Explained)
def _explained(element: Explained, compiler: Any, **options: Any) -> str:
    word = "EXPLAIN QUERY PLAN" if compiler.dialect.name == "sqlite" else "EXPLAIN"
    return f"{word} {compiler.process(element.query, **options)}"


@pytest.mark.parametrize("by", ["name", "id"])
def test_looking_up_values_uses_the_index(store: Store, by: str) -> None:
    insert(store, *map(str, range(3000)))
    wanted = in_values(things.c.name, ["7", "8"]) if by == "name" else in_values(things.c.id, [7, 8])
    with store.read() as connection:
        plan = [row[-1] for row in connection.execute(Explained(sa.select(things.c.id).where(wanted)))]

    assert any("SEARCH things USING" in line or "Index" in line for line in plan), plan


# --- many rows


@pytest.mark.parametrize("rows", [1, 2, 7, 2500])
def test_many_rows_are_inserted_as_they_are(store: Store, rows: int) -> None:
    odd = ["", "ü€", "it's", '"', "\\", "a\nb\tc", "%", "\\N"][:rows]
    texts = [*odd, *(f"n{n}" for n in range(rows - len(odd)))]
    with store.write() as connection:
        insert_rows(connection, things, [(n, text, None) for n, text in enumerate(texts)])

    with store.read() as connection:
        found = connection.execute(sa.select(things).order_by(things.c.id)).all()
    assert [tuple(row) for row in found] == [(n, text, None) for n, text in enumerate(texts)]


@pytest.mark.parametrize("rows", [2, 2500])
def test_many_rows_of_which_one_breaks_a_rule_leave_nothing(store: Store, rows: int) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        insert_rows(connection, things, [(n, str(min(n, rows - 2)), None) for n in range(rows)])

    assert names(store) == []
    insert(store, "after")


def test_a_row_that_is_there_is_passed_over_and_the_others_come_in(store: Store) -> None:
    insert(store, "there")
    with store.write() as connection:
        connection.execute(insert_new(things), [{"name": "there"}, {"name": "new"}, {"name": "new"}])

    assert sorted(names(store)) == ["new", "there"]


# --- what only one may do


def test_only_one_does_what_only_one_may(engine: Engine, store: Store) -> None:
    other = engine.open()
    with (
        store.sole("a", wait_s=0.01) as first,
        other.sole("b", wait_s=0.01) as apart,
        other.sole("a", wait_s=0.01) as second,
        store.sole("a", wait_s=0.01) as third,
    ):
        pass
    with other.sole("a", wait_s=0.01) as afterwards:
        pass

    assert (first, apart, second, third, afterwards) == (True, True, False, False, True)


def test_who_waits_for_its_turn_has_it_when_the_other_is_done(engine: Engine, store: Store) -> None:
    other = engine.open()
    told: list[bool] = []

    def wait() -> None:
        with other.sole("a", wait_s=20) as mine:
            told.append(mine)

    with store.sole("a", wait_s=0.01):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        insert(store, "written meanwhile")
        assert told == []
    waiting.join(20)

    assert told == [True]


HOLDER = """
    import sys
    from wattbook.db import open_store
    with open_store(sys.argv[1], name="test").sole("a", wait_s=1) as mine:
        print(mine, flush=True)
        input()
"""


def test_who_dies_makes_room_for_another(engine: Engine, store: Store) -> None:
    with started(HOLDER, engine.url) as holder:
        assert holder.line() == "True"
        with store.sole("a", wait_s=0.01) as mine:
            assert not mine
        holder.kill()

        with store.sole("a", wait_s=20) as mine:
            assert mine


def test_what_fails_while_only_one_may_is_told_as_it_is(store: Store) -> None:
    with pytest.raises(KeyError), store.sole("a", wait_s=0.01):
        raise KeyError("x")
    with store.sole("a", wait_s=0.01) as mine:
        assert mine


# --- shifts


def test_what_is_written_in_a_shift_is_seen_in_it_at_once_and_kept_with_its_end(store: Store) -> None:
    insert(store, "a", "b")
    with store.shift("s", wait_s=0.01) as shift:
        assert shift is not None
        with shift.read() as connection:
            assert connection.scalars(sa.select(things.c.name).order_by(things.c.id)).all() == ["a", "b"]
        insert(store, "written beside it")
        with shift.write() as connection:
            connection.execute(things.delete().where(things.c.name == "a"))
        with shift.read() as connection:
            assert "a" not in connection.scalars(sa.select(things.c.name)).all()
        insert(store, "written beside a change")

    assert names(store) == ["b", "written beside it", "written beside a change"]


def test_only_one_has_a_shift_and_the_next_sees_what_it_did(engine: Engine, store: Store) -> None:
    other = engine.open()
    with store.shift("s", wait_s=0.01) as first, other.shift("other", wait_s=0.01) as apart:
        with other.shift("s", wait_s=0.01) as second, store.shift("s", wait_s=0.01) as third:
            assert (second, third) == (None, None)
        assert first is not None
        assert apart is not None
        with first.write() as connection:
            connection.execute(things.insert(), {"name": "done"})
    with other.shift("s", wait_s=0.01) as afterwards, afterwards.read() as connection:  # type: ignore[union-attr]
        assert connection.scalars(sa.select(things.c.name)).all() == ["done"]


def test_a_shift_that_fails_is_told_as_it_is_and_makes_room(store: Store) -> None:
    with pytest.raises(KeyError), store.shift("s", wait_s=0.01):
        raise KeyError("x")
    with (
        pytest.raises(IntegrityError),
        store.shift("s", wait_s=0.01) as shift,
        shift.write() as connection,  # type: ignore[union-attr]
    ):
        connection.execute(things.insert(), {"name": None})
    with store.shift("s", wait_s=0.01) as shift:
        assert shift is not None
    assert names(store) == []


def test_a_statement_made_once_takes_any_number_of_values(store: Store) -> None:
    odd = ["a", 'quo"te', "back\\slash", "{}", "comma,", "NULL", "", " ", "ü", "line\nbreak"]
    insert(store, *odd)
    by_name = sa.select(things.c.name).where(in_parameter(things.c.name, "wanted")).order_by(things.c.id)
    by_id = sa.select(things.c.id).where(in_parameter(things.c.id, "wanted")).order_by(things.c.id)
    with store.read() as connection:
        assert connection.scalars(by_name, {"wanted": odd}).all() == odd
        assert connection.scalars(by_name, {"wanted": ["ü", "not there", "zero\0"]}).all() == ["ü"]
        assert connection.scalars(by_name, {"wanted": []}).all() == []
        assert connection.scalars(by_id, {"wanted": [1, 3, -7, 2**40]}).all() == [1, 3]


@pytest.mark.parametrize("size", [0, 1, 3000])
def test_rows_are_found_by_any_number_of_keys(store: Store, size: int) -> None:
    odd = ["a", 'quo"te', "back\\slash", "{}", "comma,", "NULL", "", "ü", "line\nbreak"]
    insert(store, *odd, *(f"n{n}" for n in range(size)))
    columns = [things.c.name, things.c.id]
    wanted = [*odd, *(f"n{n}" for n in range(5000)), "a", "zero\0", "\ud800"]
    with store.read() as connection:
        found = rows_by_key(connection, things.c.name, wanted, columns=columns).all()
        by_id = rows_by_key(connection, things.c.id, [2, 1, 2**40], columns=columns).all()
        none = rows_by_key(connection, things.c.name, [], columns=columns).all()

    assert {name for name, _ in found} == {*odd, *(f"n{n}" for n in range(size))}
    assert dict(found)["ü"] == 8
    assert ({tuple(row) for row in by_id}, none) == ({("a", 1), ('quo"te', 2)}, [])


# --- outages


def test_a_closed_store_is_unavailable(store: Store) -> None:
    store.close()

    for block in (store.read, store.write):
        with pytest.raises(Unavailable), block():
            pass


@pytest.mark.parametrize("below", ["a-file/test.db", "."])
def test_a_file_that_cannot_be_opened_says_which_and_why(tmp_path: Path, below: str) -> None:
    (tmp_path / "a-file").write_text("in the way")

    with pytest.raises(Unavailable, match=rf"the store trade at {tmp_path}.* cannot be opened: [^()]+$"):
        open_store(f"sqlite:///{tmp_path}/{below}", name="trade")


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_text("this is a letter to my aunt, not a database" * 100)

    with pytest.raises(Unavailable, match="not a database"):
        open_store(f"sqlite:///{tmp_path}/test.db", name="trade")


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="no store engine for 'oracle'"):
        open_store("oracle://somewhere", name="trade")


@pytest.fixture
def file_engine(tmp_path: Path) -> Iterator[Engine]:
    """The embedded engine alone: of another, files and disk are the server's."""
    made = Engine(f"sqlite:///{tmp_path}/stores/test.db", tmp_path)
    yield made
    made.close()


def test_a_full_disk_is_unavailable_and_nothing_is_half_written(file_engine: Engine) -> None:
    with small_disk(file_engine.folder / "small", mebibytes=4) as disk:
        store = file_engine.open(f"sqlite:///{disk}/test.db")
        with store.write() as connection:
            metadata.create_all(connection)
        insert(store, "before")
        ballast = Ballast(disk)
        ballast.fill()

        with pytest.raises(Unavailable, match="cannot write now: its disk is full"):
            insert(store, *(f"{n}" * 50 for n in range(1000)))
        assert names(store) == ["before"]

        ballast.free()
        insert(store, "after")
        assert names(store) == ["before", "after"]
        store.close()


WRITER_ON_DEMAND = """
    import sys
    import sqlalchemy as sa
    from wattbook.db import open_store
    from wattbook.errors import Unavailable
    store = open_store(sys.argv[1], name="test")
    insert = sa.text("INSERT INTO things (name) VALUES (:name)")
    for name in sys.argv[2:]:
        try:
            with store.write() as connection:
                for n in range(20):
                    connection.execute(insert, {"name": f"{name} {n} " + "x" * 150})
            print("written", flush=True)
        except Unavailable as error:
            print(error, flush=True)
        with store.read() as connection:
            print(connection.execute(sa.text("SELECT count(*) FROM things")).scalar(), flush=True)
        input()
"""


def test_a_read_only_store_is_unavailable_for_writing_and_can_still_be_read(
    file_engine: Engine,
) -> None:
    with file_engine.open().write() as connection:
        metadata.create_all(connection)
    file_engine.close()
    path = file_engine.folder / "stores" / "test.db"

    with started(WRITER_ON_DEMAND, file_engine.url, "a", "b", "c") as writer:
        assert [writer.line(), writer.line()] == ["written", "20"]
        with read_only(path, path.with_name("test.db-wal")):
            writer.say("")
            said = [writer.line(), writer.line()]
        writer.say("")
        afterwards = [writer.line(), writer.line()]

    assert said[0].startswith("the store cannot write now: ")
    assert said[1] == "20"
    assert afterwards == ["written", "40"]


KILLED_WRITER = """
    import sys
    import sqlalchemy as sa
    from wattbook.db import open_store
    store = open_store(sys.argv[1], name="test")
    insert = sa.text("INSERT INTO things (name) VALUES (:name)")
    for batch in range(100_000):
        with store.write(durable=batch % 2 == 0) as connection:
            for n in range(20):
                connection.execute(insert, {"name": f"{sys.argv[2]} {batch} {n}"})
        print(batch, flush=True)
"""


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_transactions_and_all_acknowledged_ones(
    engine: Engine, store: Store
) -> None:
    acknowledged: dict[int, int] = {}
    for run in range(3):
        with started(KILLED_WRITER, engine.url, str(run)) as writer:
            for line in writer.lines():
                acknowledged[run] = int(line)
                if acknowledged[run] == 20 + 7 * run:
                    writer.kill()

    found = [tuple(map(int, name.split())) for name in names(store)]
    batches = sorted({(run, batch) for run, batch, _ in found})
    assert found == [(run, batch, n) for run, batch in batches for n in range(20)]
    for run, last in acknowledged.items():
        assert [batch for its, batch in batches if its == run][: last + 1] == list(range(last + 1))


OTHER_PROCESS = """
    import sys
    import sqlalchemy as sa
    from wattbook.db import open_store
    store = open_store(sys.argv[1], name="test")
    with store.write() as connection:
        connection.execute(sa.text("INSERT INTO things (name) VALUES (:name)"), {"name": sys.argv[2]})
    store.close()
"""


@pytest.mark.slow
def test_a_store_opened_twice_stays_whole_when_others_come_and_go(engine: Engine, store: Store) -> None:
    for round_ in range(5):
        engine.open().close()
        insert(store, f"mine {round_}")
        with started(OTHER_PROCESS, engine.url, f"theirs {round_}") as other:
            assert other.ended() == 0

    expected = [f"{whose} {round_}" for round_ in range(5) for whose in ("mine", "theirs")]
    assert names(store) == names(engine.open()) == expected


# --- migrations

FIRST = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0001"
    down_revision = None
    def upgrade():
        op.create_table("books", sa.Column("id", sa.Integer, primary_key=True))
"""
SECOND = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0002"
    down_revision = "0001"
    def upgrade():
        op.add_column("books", sa.Column("title", sa.String(10)))
        op.create_index("books_title", "books", ["title"])
"""
CONTRACT = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0003"
    down_revision = "0002"
    needs_code = "0002"
    def upgrade():
        op.create_table("shelves", sa.Column("id", sa.Integer, primary_key=True))
"""
MORE = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0004"
    down_revision = "0003"
    def upgrade():
        op.add_column("shelves", sa.Column("room", sa.Integer))
"""
BROKEN = """
    import sqlalchemy as sa
    from alembic import op
    revision = "0003"
    down_revision = "0002"
    def upgrade():
        op.add_column("books", sa.Column("pages", sa.Integer))
        op.execute("SELECT nothing FROM nowhere")
"""


@dataclass
class Package:
    """A service's package whose migrations a test writes."""

    folder: Path
    name: str = "migrated_service"

    def add(self, file: str, text: str) -> None:
        versions = self.folder / self.name / "migrations" / "versions"
        versions.mkdir(parents=True, exist_ok=True)
        (self.folder / self.name / "__init__.py").touch()
        (versions / file).write_text(dedent(text))
        importlib.invalidate_caches()

    def remove(self, file: str) -> None:
        (self.folder / self.name / "migrations" / "versions" / file).unlink()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    made = Package(tmp_path / "packages 100%")  # Alembic reads % in its configuration
    made.add("0001_books.py", FIRST)
    monkeypatch.syspath_prepend(made.folder)
    yield made
    sys.modules.pop(made.name, None)


def columns(store: Store) -> set[str]:
    with store.read() as connection:
        return {column["name"] for column in sa.inspect(connection).get_columns("books")}


def test_a_store_is_brought_to_the_newest_schema_once(engine: Engine, package: Package) -> None:
    store = engine.open()
    migrate(store, package.name)
    migrate(store, package.name)
    assert columns(store) == {"id"}

    package.add("0002_titles.py", SECOND)
    migrate(store, package.name)

    assert columns(store) == {"id", "title"}


def test_several_migrations_run_in_order(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND)
    store = engine.open()

    migrate(store, package.name)

    assert columns(store) == {"id", "title"}


def test_a_migration_that_fails_leaves_the_schema_as_it_was(engine: Engine, package: Package) -> None:
    store = engine.open()
    migrate(store, package.name)
    package.add("0002_titles.py", SECOND)
    package.add("0003_broken.py", BROKEN)

    with pytest.raises(DBAPIError):
        migrate(store, package.name)

    assert columns(store) == {"id"}
    package.remove("0003_broken.py")
    migrate(store, package.name)
    assert columns(store) == {"id", "title"}


def test_older_code_lives_with_a_schema_that_only_added(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND)
    store = engine.open()
    migrate(store, package.name)
    package.remove("0002_titles.py")

    assert migrate(store, package.name) == Migration("0002", "0002")
    prepare(store, package.name, settings=StoreSettings(store_migrate=False))


def test_older_code_is_refused_where_a_newer_release_took_away_what_it_needs(
    engine: Engine, package: Package
) -> None:
    package.add("0002_titles.py", SECOND)
    package.add("0003_contract.py", CONTRACT)
    store = engine.open()
    migrate(store, package.name)
    package.remove("0003_contract.py")
    migrate(store, package.name)  # this code knows 0002, which 0003 needs

    package.remove("0002_titles.py")
    for settings in (StoreSettings(), StoreSettings(store_migrate=False)):
        with pytest.raises(Unavailable, match="schema 0003, made by a newer release; this one is too old"):
            prepare(store, package.name, settings=settings)


def test_what_a_contract_needs_is_not_forgotten_by_later_migrations(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND)
    package.add("0003_contract.py", CONTRACT)
    store = engine.open()
    migrate(store, package.name)
    package.add("0004_more.py", MORE)
    migrate(store, package.name)
    for name in ("0004_more.py", "0003_contract.py", "0002_titles.py"):
        package.remove(name)

    with pytest.raises(Unavailable, match="too old"):
        migrate(store, package.name)


def test_a_contract_that_needs_code_of_the_future_is_a_fault(engine: Engine, package: Package) -> None:
    package.add("0002_contract.py", dedent(SECOND) + 'needs_code = "0003"\n')

    with pytest.raises(RuntimeError, match="need code that knows later ones"):
        migrate(engine.open(), package.name)
    assert migrate_version(engine) == ""


def test_without_leave_to_migrate_a_service_waits_until_somebody_has(
    engine: Engine, package: Package, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[Store] = []
    is_alive = threading.Event()

    @contextmanager
    def alive() -> Iterator[None]:
        is_alive.set()
        yield
        is_alive.clear()

    def wait() -> None:
        settings = StoreSettings(store_migrate=False)
        name = package.name
        never = threading.Event()
        opened.append(
            await_store(engine.url, name="test", package=name, settings=settings, stopping=never, alive=alive)
        )

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert is_alive.wait(10)
    wait_until(lambda: "waiting" in caplog.text, timeout_s=10, what="it says that it waits")
    assert "the store test has schema none, this release needs 0001" in caplog.text
    assert not opened
    migrate(engine.open(), package.name)

    waiting.join(10)
    assert columns(opened[0]) == {"id"}
    assert not is_alive.is_set()
    opened[0].close()


def test_who_is_told_to_stop_waits_no_longer_for_a_migration(engine: Engine, package: Package) -> None:
    stopping = threading.Event()
    stopping.set()
    settings = StoreSettings(store_migrate=False)

    with pytest.raises(Unavailable, match="this release needs 0001; `wattbook migrate`"):
        await_store(
            engine.url, name="test", package=package.name, settings=settings,
            stopping=stopping, alive=nullcontext,
        )  # fmt: skip


def test_a_release_that_is_too_old_does_not_wait_to_become_newer(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND)
    package.add("0003_contract.py", CONTRACT)
    migrate(engine.open(), package.name)
    for name in ("0003_contract.py", "0002_titles.py"):
        package.remove(name)

    with pytest.raises(Unavailable, match="this one is too old"):
        await_store(
            engine.url, name="test", package=package.name, settings=StoreSettings(),
            stopping=threading.Event(), alive=nullcontext,
        )  # fmt: skip


def migrate_version(engine: Engine) -> str:
    with engine.open().read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return ""
        return str(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar())


def test_migrations_that_are_not_numbered_are_a_fault(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND.replace('"0002"', '"titles"'))

    with pytest.raises(RuntimeError, match="the head is titles, the newest file 0002"):
        migrate(engine.open(), package.name)
    package.remove("0002_titles.py")
    package.remove("0001_books.py")
    with pytest.raises(RuntimeError, match="no migrations in"):
        migrate(engine.open(), package.name)


MIGRATING = """
    import sys
    sys.path.insert(0, sys.argv[2])
    from wattbook.db import migrate, open_store
    store = open_store(sys.argv[1], name="test")
    print("ready", flush=True)
    input()
    migrate(store, sys.argv[3])
    print("done" + (", loading Alembic" if "alembic" in sys.modules else ""), flush=True)
"""


@pytest.mark.slow
def test_processes_that_start_at_once_migrate_once(engine: Engine, package: Package) -> None:
    package.add("0002_titles.py", SECOND)
    with four_migrating(engine, package) as first:
        assert {line.split(",")[0] for line in first} == {"done"}
    with four_migrating(engine, package) as second:
        assert second == ["done"] * 4  # so a start costs nothing more

    assert columns(engine.open()) == {"id", "title"}


@contextmanager
def four_migrating(engine: Engine, package: Package) -> Iterator[list[str]]:
    arguments = (engine.url, str(package.folder), package.name)
    with (
        started(MIGRATING, *arguments) as a,
        started(MIGRATING, *arguments) as b,
        started(MIGRATING, *arguments) as c,
        started(MIGRATING, *arguments) as d,
    ):
        children = (a, b, c, d)
        for child in children:
            assert child.line() == "ready"
        for child in children:
            child.say("go")
        yield [child.line() for child in children]
