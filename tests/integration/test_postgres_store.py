"""The PostgreSQL store's own ways: connections that break, limits, TLS, several hosts, and secrets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import sqlalchemy as sa
from wattbook import postgres as ours
from wattbook.db import Store, StoreSettings, open_store, repeated
from wattbook.errors import Unavailable

from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.postgres import Lender, PostgresServer, fails_to_serialize
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.servers
Open = Callable[..., Store]


@pytest.fixture
def opened() -> Iterator[Open]:
    stores: list[Store] = []

    def make(url: str, **settings: float) -> Store:
        stores.append(open_store(url, name="test", settings=StoreSettings(**settings)))  # type: ignore[arg-type]
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def url(databases: Lender) -> str:
    return databases.new_url()


@pytest.fixture
def store(opened: Open, url: str) -> Store:
    made = opened(url)
    with made.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (n int PRIMARY KEY)")
    return made


def add(store: Store, *numbers: int) -> None:
    with store.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (:n)"), [{"n": number} for number in numbers])


def numbers(store: Store) -> list[int]:
    with store.read() as connection:
        return list(connection.scalars(sa.text("SELECT n FROM t ORDER BY n")))


def test_connections_that_the_server_closed_meanwhile_are_replaced_without_a_word(
    store: Store, postgres: PostgresServer
) -> None:
    add(store, 1)
    assert numbers(store) == [1]

    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'wattbook-test'"
    )

    assert numbers(store) == [1]
    add(store, 2)
    with store.sole("a", wait_s=1) as mine:
        assert mine
    assert numbers(store) == [1, 2]


def test_a_connection_that_dies_in_a_transaction_is_an_outage_and_leaves_nothing(
    store: Store, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    def half() -> None:
        with store.write() as connection:
            pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
            postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)")
            connection.execute(sa.text("INSERT INTO t VALUES (2)"))

    with pytest.raises(Unavailable, match="the store cannot write now: its server restarts; try again"):
        half()

    assert numbers(store) == []
    add(store, 3)
    assert "Traceback" not in caplog.text


def test_a_commit_whose_answer_is_lost_is_told_as_an_outage_and_never_repeated(
    opened: Open, url: str, store: Store, postgres: PostgresServer
) -> None:
    proxy = Proxy(postgres.port)
    far = opened(url.replace(f":{postgres.port}/", f":{proxy.port}/"))

    def lose() -> None:
        with far.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
            proxy.silence()
            threading.Thread(target=lambda: (proxy.wait_heard(), proxy.cut()), daemon=True).start()

    with pytest.raises(Unavailable, match="cannot write now"):
        lose()

    assert numbers(store) == [1]  # it was kept all the same; whoever asked may ask again
    with pytest.raises(sa.exc.IntegrityError):
        add(far, 1)
    add(far, 2)
    proxy.close()


def test_a_statement_that_takes_too_long_is_an_outage(opened: Open, url: str) -> None:
    impatient = opened(url, store_statement_timeout_s=0.1)

    for block in (impatient.read, impatient.write):
        with pytest.raises(Unavailable, match="it takes too long; try again"), block() as connection:
            connection.execute(sa.text("SELECT pg_sleep(60)"))


def test_a_lock_of_another_is_waited_for_and_then_said(opened: Open, url: str, store: Store) -> None:
    impatient = opened(url, store_lock_timeout_s=0.1)

    with store.write(), pytest.raises(Unavailable, match="cannot write now: it is locked"):
        add(impatient, 1)
    add(impatient, 1)

    with store.write() as connection:
        connection.exec_driver_sql("LOCK TABLE t")
        with pytest.raises(Unavailable, match="cannot read now: it is locked"):
            numbers(impatient)


def test_a_transaction_that_loses_a_deadlock_is_run_again_and_both_are_kept(
    store: Store, url: str, postgres: PostgresServer
) -> None:
    add(store, 1, 2)
    locked, runs = threading.Event(), []

    @repeated
    def move_both() -> None:
        runs.append(1)
        with store.write() as connection:
            connection.execute(sa.text("UPDATE t SET n = 10 WHERE n = 1"))
            locked.set()
            if len(runs) == 1:
                wait_until(other_waits, timeout_s=10, what="the other waits for us")
            connection.execute(sa.text("UPDATE t SET n = 20 WHERE n = 2"))

    def other_waits() -> bool:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE t%'"
        return bool(postgres.rows(waiting, database=url.rpartition("/")[2]))

    def opposite() -> None:
        with postgres.connect(url.rpartition("/")[2], autocommit=False) as other:
            other.execute("SET deadlock_timeout = '60s'")  # so that it is ours which gives way
            other.execute("UPDATE t SET n = n WHERE n = 2")
            first.set()
            assert locked.wait(10)
            other.execute("UPDATE t SET n = n WHERE n = 1")

    first = threading.Event()
    thread = threading.Thread(target=opposite)
    thread.start()
    assert first.wait(10)
    move_both()
    thread.join(30)

    assert len(runs) == 2
    assert numbers(store) == [10, 20]


@pytest.mark.parametrize(("failures", "runs"), [(1, 2), (3, 4), (99, 4)])
def test_a_serialization_failure_is_run_again_a_few_times(store: Store, failures: int, runs: int) -> None:
    with store.write() as connection:
        connection.exec_driver_sql("CREATE SEQUENCE runs")  # counts also what is rolled back
        connection.exec_driver_sql(fails_to_serialize("t", f"nextval('runs') <= {failures}"))

    with pytest.raises(Unavailable, match="others changed") if failures > runs else nullcontext():
        repeated(add)(store, 1)

    with store.read() as connection:
        assert connection.scalar(sa.text("SELECT last_value FROM runs")) == runs
    assert numbers(store) == ([] if failures > runs else [1])


def test_what_failed_otherwise_is_not_run_again(store: Store) -> None:
    runs = []

    @repeated
    def twice() -> None:
        runs.append(1)
        add(store, 1)
        raise Unavailable("a commit whose answer was lost, for one")

    with pytest.raises(Unavailable):
        twice()
    assert len(runs) == 1


def test_a_transaction_that_does_nothing_is_ended_by_the_server(opened: Open, url: str, store: Store) -> None:
    forgetful = opened(url, store_idle_timeout_s=0.1, store_lock_timeout_s=0.1)

    def forget() -> None:
        with forgetful.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
            add(store, 2)  # waits until the other's lock is gone with its connection

    with pytest.raises(Unavailable, match="cannot write now"):
        forget()
    assert numbers(store) == [2]


def test_a_block_that_hides_a_failed_statement_is_a_fault_and_keeps_nothing(store: Store) -> None:
    def hide() -> None:
        with store.write() as connection:
            connection.execute(sa.text("INSERT INTO t VALUES (1)"))
            with pytest.raises(sa.exc.DBAPIError):
                connection.execute(sa.text("SELECT nothing FROM nowhere"))

    with pytest.raises(RuntimeError, match="nothing of it can be kept"):
        hide()
    assert numbers(store) == []


def test_commits_wait_for_the_disk_unless_told_otherwise(store: Store) -> None:
    seen = []
    for durable in (True, False, True):
        with store.write(durable=durable) as connection:
            seen.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar())

    assert seen == ["on", "off", "on"]


def test_limits_and_a_name_are_known_to_the_server(opened: Open, url: str) -> None:
    store = opened(f"{url}?options=-c%20statement_timeout%3D7000", store_idle_timeout_s=9)

    with store.read() as connection:
        said = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar()
            for name in (
                "application_name", "statement_timeout", "idle_in_transaction_session_timeout",
                "plan_cache_mode",
            )
        }  # fmt: skip
    assert said == {
        "application_name": "wattbook-test",
        "statement_timeout": "7s",  # what the address says comes first
        "idle_in_transaction_session_timeout": "9s",
        "plan_cache_mode": "force_custom_plan",  # measured: eight times as quick after a table has grown
    }


def test_too_many_readers_wait_and_then_hear_that_it_is_busy(opened: Open, url: str) -> None:
    small = opened(url, store_pool_size=1, store_pool_timeout_s=0.05)

    with small.read(), pytest.raises(Unavailable, match="the store test is busy"), small.read():
        pass
    with small.read():
        pass


# --- addresses


def test_of_several_hosts_the_one_that_answers_is_used(
    opened: Open, url: str, postgres: PostgresServer
) -> None:
    here = f"127.0.0.1:{postgres.port}"
    store = opened(url.replace(here, f"127.0.0.1:{free_port()},{here}"))

    with store.read() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://me:hush-hush@127.0.0.1:PORT/x", "password authentication failed for user"),
        ("postgresql+psycopg://me:hush-hush@127.0.0.1:9/x", "127.0.0.1:9/x cannot be opened: .*refused"),
        ("postgresql+psycopg://app:PASSWORD@127.0.0.1:PORT/none", 'database "none" does not exist'),
    ],
)
def test_a_store_that_cannot_be_opened_says_which_and_why_and_no_password(
    postgres: PostgresServer, caplog: pytest.LogCaptureFixture, url: str, reason: str
) -> None:
    caplog.set_level(logging.DEBUG)
    url = url.replace("PORT", str(postgres.port)).replace("PASSWORD", postgres.password)

    with pytest.raises(Unavailable, match=f"the store trade at .*{reason}") as caught:
        open_store(url, name="trade")

    for secret in ("hush-hush", postgres.password):
        assert secret not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:hush-hush@[::1/x",
        "postgresql+psycopg://me:hush-hush@host/x?sslmodus=on",
        "postgresql://me:hush-hush@host/x",
        "postgresql+asyncpg://me:hush-hush@host/x",
    ],
)
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="address") as caught:
        open_store(url, name="trade")

    assert "hush-hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_addresses_are_shown_without_users_and_passwords() -> None:
    found = ours.parameters_of("postgresql+psycopg://me:hush@a:5432,b:5433/x?sslmode=require")

    assert ours.shown(found) == "a:5432,b:5433/x"
    assert found["sslmode"] == "require"


def test_a_limit_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="WATTBOOK_STORE_LOCK_TIMEOUT_S: 0 is not above 0"):
        open_store("sqlite:////nowhere", name="x", settings=StoreSettings(store_lock_timeout_s=0))


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_server_is_trusted_for_its_certificate_only(
    opened: Open, authority: Authority, tmp_path: Path
) -> None:
    with PostgresServer(tls=authority.certificate("postgres", "127.0.0.1")).running() as server:
        url = f"{server.url('postgres')}?sslmode=verify-full&sslrootcert="
        with opened(f"{url}{authority.file}").read() as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.scalar(sa.text(query)) is True

        with pytest.raises(Unavailable, match="certificate"):
            opened(f"{url}{Authority(tmp_path, 'stranger').file}")
