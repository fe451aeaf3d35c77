"""What every kind of test may ask for: a started product, its clients, a browser."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[1]
if str(ROOT) not in sys.path:  # so that `tests.support` is found however pytest was started
    sys.path.insert(0, str(ROOT))

from tests.support import engines, rabbitmq  # noqa: E402
from tests.support.browser import chromium_path, started_chromium  # noqa: E402
from tests.support.client import Client  # noqa: E402
from tests.support.desk import Desk  # noqa: E402
from tests.support.live_desk import LiveDesk, running  # noqa: E402
from tests.support.postgres import Lender, PostgresServer  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


# How long an example takes says how busy the machine is, and nothing of what is tested.
SHALLOW = hypothesis.settings(
    deadline=None, max_examples=30, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("shallow", SHALLOW)
hypothesis.settings.register_profile("deep", SHALLOW, max_examples=300)  # CI's
hypothesis.settings.load_profile("deep" if os.environ.get("CI") else "shallow")


# What waits for processes begins first, so that side by side (`make test`) nothing long is left for the end.
FIRST = ("faults", "integration", "e2e", "browser", "contract")
# Who asks for one of these asks for a PostgreSQL or a RabbitMQ.
SERVERS = {"postgres", "databases", "rabbitmq_server"}
# After these a test of faults may be run again (``--reruns``); not after a trade that was counted wrong.
IN_VAIN = ["TooLate", "Timeout"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", choices=("fast", "long", "production", "fleet"),
        help="only the tests of this part; each test is in one (docs/extending.md)",
    )  # fmt: skip


def _kind_of(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT / "tests").parts[0]


def _part_of(item: pytest.Function) -> str:
    """`make test` runs what is fast; `make test-long` and the others what is not; nothing runs twice."""
    marked = item.get_closest_marker
    if marked("alone"):
        return "fleet"
    if marked("servers") or SERVERS & set(item.fixturenames):
        return "production"
    if _kind_of(item) == "faults":  # on the engines of production, unless it is about the embedded ones
        return "long" if marked("embedded") else "production"
    return "long" if marked("slow") else "fast"


class _Together(LoadFileScheduling):
    """Tests of a file stay in one process, and so do all that share the one started product."""

    def _split_scope(self, nodeid: str) -> str:
        is_shared = nodeid.startswith(("tests/e2e/", "tests/browser/"))
        return (
            "desk" if is_shared and self.config.getoption("part") == "fast" else super()._split_scope(nodeid)
        )


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return _Together(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Function]) -> None:
    """Order the kinds of tests; within a kind they stay as they are. Leave out what another run is for."""
    part = config.getoption("part")
    left_out = [
        item
        for item in items
        if (part and _part_of(item) != part)
        or (engines.is_production() and item.get_closest_marker("embedded"))
    ]
    if left_out:
        items[:] = [item for item in items if item not in set(left_out)]
        config.hook.pytest_deselected(items=left_out)

    if reruns := config.getoption("reruns", None):
        for item in items:
            if _kind_of(item) == "faults":
                item.add_marker(pytest.mark.flaky(reruns=reruns, only_rerun=IN_VAIN))
    items.sort(key=lambda item: FIRST.index(_kind_of(item)) if _kind_of(item) in FIRST else len(FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Put the product's logs beside a failure of a test that used it."""
    report = yield
    if report.when == "call" and report.failed:
        values = getattr(item, "funcargs", {}).values()
        for desk in (value for value in values if isinstance(value, Desk)):
            report.sections.append(("logs of the product", desk.logs(lines=30)))
    return report


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """One PostgreSQL server for all tests of this process; make databases of your own in it."""
    return engines.shared_server()


@pytest.fixture
def databases(postgres: PostgresServer) -> Iterator[Lender]:
    """Empty databases for one test."""
    with postgres.lending() as lender:
        yield lender


ON_SERVERS = pytest.param(engines.PRODUCTION, marks=pytest.mark.servers)


@pytest.fixture(params=[ON_SERVERS] if engines.is_production() else [engines.EMBEDDED, ON_SERVERS])
def new_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> engines.NewStoreUrl:
    """Addresses of new, empty stores; the test runs once on each engine, unless one was chosen for all."""
    return engines.new_store_url(request.param, tmp_path, lambda: request.getfixturevalue("databases"))


@pytest.fixture(autouse=True)
def _databases_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """What :func:`tests.support.engines.store_url` gave to the test's folder goes back."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        engines.give_back(folder)


def pytest_unconfigure() -> None:
    engines.close_shared_servers()


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDesk]:
    """The one started product of the run, its sandbox told to be quiet; use names of your own in it.

    (``support.trades.unique``.) Nothing in its logs may be a traceback.
    """
    quiet = {
        "WATTBOOK_SANDBOX_EXCHANGE_TRADES_PER_MIN": "0",
        "WATTBOOK_INGEST_SETTLE_S": "0.2",
        "WATTBOOK_MARKET_DATA_MINUTE_LIMIT": "40",  # another desk asks the same provider
    }
    with running(LiveDesk(tmp_path_factory.mktemp("desk"), environment=quiet)) as started:
        started.wait_listeners(1)
        yield started


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Products on demand, not started; whatever still runs afterwards is ended."""
    made: list[Desk] = []

    def make(**options: Any) -> Desk:
        made.append(Desk(tmp_path / f"desk{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.kill_all()


@pytest.fixture
def admin(desk: Desk) -> Iterator[Client]:
    """The first user of the shared product."""
    with desk.client() as client:
        yield client


@pytest.fixture(scope="session")
def rabbitmq_server() -> rabbitmq.Server:
    """The RabbitMQ of this test process; take a virtual host of your own in it, and never kill it."""
    return engines.shared_bus()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A running Chromium; a module's only, since Playwright's event loop would block other tests' asyncio."""
    chromium_path()
    with started_chromium() as started:
        yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a browser profile of its own."""
    context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin")
    try:
        yield context.new_page()
    finally:
        context.close()
