"""The house rules of docs/architecture.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2
from wattbook.services import services
from wattbook_proto import cash_pb2, feed_pb2, prices_pb2, reports_pb2, trades_pb2

ROOT = Path(__file__).parents[3]
SERVICES = tuple(services())
ROOMS = {"app", "api", "usecases", "domain", "store", "clients"}
# What is no code: documents, pages, and the scripts that change a schema.
BESIDE_ROOMS = {"__init__.py", "py.typed", "migrations", "openapi", "templates", "static", "__pycache__"}
# Where a Django developer looks; its settings.py reads the environment for it.
OF_DJANGO = {"admin", "apps", "collected", "management", "models", "settings", "urls"}
DJANGO = "meter-service"
FUNCTION_LINES = 40
FILE_LINES = 400

# Longer than the rule allows, each with its reason. Keep it empty if you can.
LONGER_FUNCTIONS: dict[str, str] = {}
LONGER_FILES: dict[str, str] = {}

CONTRACTS = (cash_pb2, feed_pb2, prices_pb2, reports_pb2, trades_pb2, health_pb2)
RPC_METHODS = "|".join(
    method
    for contract in CONTRACTS
    for service in contract.DESCRIPTOR.services_by_name.values()
    for method in service.methods_by_name
)

# Modules that may ask the machine for the time: the clock itself; and telemetry, for its time stamps.
MAY_TELL_TIME = {"clock.py", "app.py"}


@cache
def tracked() -> tuple[str, ...]:
    """What is, or with the next commit will be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())


@cache
def package_of(folder: str) -> Path:
    """The package of a root folder: ``trade-service`` → ``trade-service/src/trade_service``."""
    return next(path for path in (ROOT / folder / "src").iterdir() if (path / "__init__.py").exists())


def folders_with_code() -> list[str]:
    return sorted(path.parents[0].name for path in ROOT.glob("*/src") if path.is_dir())


def sources(*, generated: bool = False) -> list[Path]:
    """Every Python file under ``*/src``; the generated gRPC stubs only if asked for."""
    found = sorted(path for path in ROOT.glob("*/src/**/*.py"))
    return found if generated else [path for path in found if "_pb2" not in path.name]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(paths: Iterable[Path], *words: str) -> Iterator[tuple[str, ast.AST]]:
    """Every node, after its ``file:line``, of the files that hold one of the words; parsing is slow."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        if any(word in text for word in words):
            for node in ast.walk(ast.parse(text, filename=str(path))):
                yield f"{named(path)}:{getattr(node, 'lineno', 0)}", node


def test_the_readme_table_names_exactly_the_root_folders() -> None:
    table = re.findall(r"^\|\s*`([a-z-]+)/`\s*\|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    folders = {Path(name).parts[0] for name in tracked() if len(Path(name).parts) > 1}

    assert sorted(table) == sorted(folder for folder in folders if not folder.startswith("."))
    assert len(table) == len(set(table))


def test_every_folder_with_code_is_an_installable_package() -> None:
    others = {"proto", "common", "cli", "sandbox", "cash-service"}
    assert set(folders_with_code()) == {*SERVICES, *others}
    for folder in folders_with_code():
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        assert project["name"].startswith("wattbook"), folder
        assert (package_of(folder) / "py.typed").exists(), folder


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_only_the_rooms_that_all_services_have(service: str) -> None:
    package = package_of(service)
    others = {path.name for path in package.iterdir()} - BESIDE_ROOMS

    rooms = ROOMS | OF_DJANGO if service == DJANGO else ROOMS
    assert {name.removesuffix(".py") for name in others} <= rooms
    assert {"app", "api"} <= {name.removesuffix(".py") for name in others}


def test_functions_are_short() -> None:
    written_by_hand = (path for path in sources() if "migrations" not in path.parts)
    long = {
        f"{where.rpartition(':')[0]}:{node.name}": node.end_lineno - node.lineno + 1
        for where, node in nodes(written_by_hand, "def ")
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES
    }

    assert sorted(long) == sorted(LONGER_FUNCTIONS), long


def test_files_are_short() -> None:
    written_by_hand = (path for path in sources() if "migrations" not in path.parts)
    lengths = {named(path): len(path.read_text().splitlines()) for path in written_by_hand}
    long = {name: length for name, length in lengths.items() if length > FILE_LINES}

    assert sorted(long) == sorted(LONGER_FILES), long


def test_only_app_and_the_runner_read_the_environment() -> None:
    may = {package_of("common") / "service.py", package_of(DJANGO) / "settings.py"}
    others = [
        path
        for folder in (*SERVICES, "common", "proto")
        for path in package_of(folder).rglob("*.py")
        if path not in may and (folder not in SERVICES or not is_room(path, "app"))
    ]

    assert not {where for where, node in nodes(others, "environ", "getenv") if reads_environment(node)}


@pytest.mark.parametrize("service", SERVICES)
def test_app_reads_it_through_typed_settings(service: str) -> None:
    package = package_of(service)
    text = "".join(path.read_text() for path in package.rglob("*.py") if is_room(path, "app"))

    assert "(ServiceSettings" in text or "load_settings_or_exit" in text


def test_only_the_clock_tells_the_time() -> None:
    others = (
        path
        for path in sources()
        if path.name not in MAY_TELL_TIME and not is_room(path, "app") and "telemetry" not in path.parts
    )

    assert not {
        where for where, node in nodes(others, ".now", "utcnow", "today", "time.time") if tells_time(node)
    }


def test_every_outside_call_has_a_deadline() -> None:
    assert not {
        where
        for where, node in nodes(sources(), "stub", "httpx", "urlopen")
        if isinstance(node, ast.Call) and lacks_deadline(node)
    }


def test_tests_do_not_sleep_and_hope() -> None:
    """``tests.support.waiting`` waits; a ``time.sleep`` elsewhere has its reason in the same line."""
    sleepers = {
        where
        for where, node in nodes((ROOT / "tests").rglob("*.py"), "time.sleep")
        if isinstance(node, ast.Call)
        and dotted(node.func) == "time.sleep"
        and not where.startswith("tests/support/waiting.py")
        and "#" not in (ROOT / where.rpartition(":")[0]).read_text().splitlines()[node.lineno - 1]
    }

    assert not sleepers


def test_every_module_imports_under_an_empty_environment() -> None:
    modules = sorted(
        {
            ".".join(path.relative_to(ROOT / named(path).split("/")[0] / "src").with_suffix("").parts)
            for path in sources(generated=True)
            if "migrations" not in path.parts and path.name != "__main__.py"
        }
    )
    script = (
        "import importlib, os, sys\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'meter_service.settings'\n"
        "import django; django.setup()\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, *modules], env={}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert len(modules) > 20


def test_no_file_names_a_package_registry() -> None:
    hosts = re.compile("|".join((r"pypi\.org", r"pythonhosted\.org", r"registry\.npmjs", r"npmjs\.org")))

    assert not list(lines_matching(hosts, except_in=()))


def test_no_file_holds_an_absolute_machine_path() -> None:
    paths = re.compile(r"(?<![\w.$}])/(?:work|home|root|Users)/\w")

    assert not list(lines_matching(paths, except_in=()))


def test_no_file_holds_a_secret() -> None:
    secrets = re.compile(
        "|".join(
            (
                r"BEGIN (?:EC |RSA |OPENSSH )?PRIVATE KEY-----\\?n?[A-Za-z0-9+/]{20}",
                r"(?i:password|secret|token|api_key)\w*\s*[=:]\s*[\"'][A-Za-z0-9+/_-]{16,}[\"']",
                r"AKIA[0-9A-Z]{16}",
                r"gh[pousr]_[A-Za-z0-9]{30}",
            )
        )
    )

    assert not list(lines_matching(secrets, except_in=("report-service/frontend/package-lock.json",)))


def test_the_makefile_describes_every_command() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = next(line for line in text.splitlines() if line.startswith(".PHONY:")).split()[1:]

    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert {"setup", "up", "test", "lint", "format", "proto", "bench", "clean"} <= set(phony)
    for target in set(phony) - {"help", "lock"}:
        assert re.search(rf"^  make {target} +\S", shown, flags=re.MULTILINE), f"{target} is not described"


def test_every_flow_test_names_a_flow_of_the_document() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "flows.md").read_text(), flags=re.MULTILINE)
    flows = {re.split(r"[:,(]", heading)[0].strip().lower() for heading in headings}

    for path in sorted((ROOT / "tests" / "e2e").glob("test_*.py")):
        if path.name == "test_up.py":  # starting and stopping is no flow
            continue
        marked = re.findall(r"mark\.flow\(\"([^\"]+)\"\)", path.read_text())
        assert marked, f"{path.name} names no flow"
        assert {name.lower() for name in marked} <= flows, path.name


def is_room(path: Path, room: str) -> bool:
    """Whether a file is the room, or belongs to it where the room is a package."""
    return path.name == f"{room}.py" or path.parent.name == room


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain, else ``""``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else node.attr
    return ""


def reads_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom) and node.module == "os":
        return any(alias.name in {"environ", "getenv", "environb"} for alias in node.names)
    return dotted(node) in {"os.environ", "os.getenv", "os.environb"}


def tells_time(node: ast.AST) -> bool:
    """``datetime.now()`` and kin; an injected clock's ``now()`` is what is wanted."""
    if not isinstance(node, ast.Call):
        return False
    name = dotted(node.func)
    if re.search(r"(^|\.)(utcnow|today)$", name):
        return True
    return bool(re.search(r"(^|\.)(datetime|date)\.now$", name)) or name in {"time.time", "time.time_ns"}


def lacks_deadline(node: ast.Call) -> bool:
    """A client made, a request sent or a gRPC method called without a timeout."""
    name = dotted(node.func)
    if re.search(rf"stub\w*\.({RPC_METHODS})$", name):
        return "timeout" not in {keyword.arg for keyword in node.keywords}
    verbs = "get|post|put|patch|delete|request|stream|Client|AsyncClient"
    outside = re.fullmatch(rf"httpx\.({verbs})", name) or name in {"urlopen", "urllib.request.urlopen"}
    given = {keyword.arg for keyword in node.keywords}
    return bool(outside) and "timeout" not in given and None not in given


def lines_matching(pattern: re.Pattern[str], *, except_in: tuple[str, ...]) -> Iterator[str]:
    for name in tracked():
        if name in except_in or name == named(Path(__file__)):
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                yield f"{name}:{number}: {line.strip()[:100]}"
