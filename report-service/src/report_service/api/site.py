"""What every page needs, and how a page is sent."""

from __future__ import annotations

import gzip
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from urllib.parse import quote, urlencode

from flask import Response, current_app, g, render_template, request
from wattbook.auth.people import People, Person, SignedIn
from wattbook.clock import Clock, DeskClock
from wattbook.pages import THEME_COOKIE, Section, pages_at, sections, theme_of
from wattbook.periods import DEFAULT_AREA

from report_service.api.assets import Assets
from report_service.api.columns import Shown, shown_of
from report_service.api.figures import locale_for
from report_service.api.health import notice_slots, pill_mark, pill_slots
from report_service.api.slots import Slots
from report_service.api.streams import Hub, Snapshot
from report_service.usecases.cash import CashBoard
from report_service.usecases.corrections import Corrections
from report_service.usecases.details import Details
from report_service.usecases.feed import FeedBoard
from report_service.usecases.model import ReadModel
from report_service.usecases.performance import Performances
from report_service.usecases.prices import PriceBoard
from report_service.usecases.quarantine import Quarantine

COLUMNS_COOKIE = "wattbook_columns"
MOST_PAGES_KEPT = 128
MOST_PAGES_BYTES = 16 * 1024 * 1024
SMALLEST_ZIPPED = 1024
HTML = "text/html; charset=utf-8"
DOTS = frozenset({".", ".."})  # browsers take them out of a path, encoded too


@dataclass(frozen=True, slots=True)
class Body:
    """A page as it is sent, kept in both forms."""

    plain: bytes
    gzipped: bytes

    @property
    def size(self) -> int:
        """In bytes, of both."""
        return len(self.plain) + len(self.gzipped)


class Pages:
    """Rendered pages by their tag, each rendered and compressed once; the least used go first."""

    def __init__(self, most: int = MOST_PAGES_KEPT, most_bytes: int = MOST_PAGES_BYTES) -> None:
        """Keep at most ``most``, of ``most_bytes`` together."""
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._kept: OrderedDict[str, Body] = OrderedDict()
        self._lock = threading.Lock()

    def body(self, tag: str, render: Callable[[], str]) -> Body:
        """The page of a tag, rendered where it is not known."""
        with self._lock:
            found = self._kept.get(tag)
            if found is not None:
                self._kept.move_to_end(tag)
                return found
        plain = render().encode()
        made = Body(plain, gzip.compress(plain, 6, mtime=0) if len(plain) > SMALLEST_ZIPPED else b"")
        with self._lock:
            if self._kept.setdefault(tag, made) is made:
                self._bytes += made.size
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].size
        return made


class Snapshots:
    """What live pages and their streams are written from, by tag, each made once; the oldest go first."""

    def __init__(self, most: int = MOST_PAGES_KEPT) -> None:
        """Keep at most ``most``."""
        self._most = most
        self._kept: OrderedDict[str, Snapshot] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, tag: str, slots: Callable[[], Slots]) -> Snapshot:
        """The snapshot of a tag, made where it is not known."""
        found = self._kept.get(tag)
        if found is None:
            found = Snapshot(tag, {name: str(text) for name, text in slots().items()})
            with self._lock:
                found = self._kept.setdefault(tag, found)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
        return found


@dataclass(frozen=True)
class Site:
    """The parts behind the pages."""

    performances: Performances
    people: People
    clock: Clock
    assets: Assets
    hub: Hub
    feed: FeedBoard
    quarantine: Quarantine
    corrections: Corrections
    details: Details
    cash: CashBoard
    meter_pages: str = ""
    pages: Pages = field(default_factory=Pages)
    snapshots: Snapshots = field(default_factory=Snapshots)

    @property
    def course(self) -> str:
        """How a browser tells the desk's time; ``""`` where it is the time of day."""
        return self.clock.course if isinstance(self.clock, DeskClock) else ""

    @property
    def model(self) -> ReadModel:
        """The book in memory."""
        return self.performances.model

    @property
    def board(self) -> PriceBoard:
        """The reference prices in memory."""
        return self.performances.board


def site() -> Site:
    """The parts behind the page at hand."""
    found: Site = current_app.extensions["wattbook"]
    return found


def person() -> Person | None:
    """Who asks, where somebody is signed in."""
    found: Person | None = g.get("person")
    return found


def session_at_hand() -> SignedIn:
    """The session of who asks; there is one behind every page that :func:`person` is told of."""
    found: SignedIn = g.signed_in
    return found


def theme() -> str:
    """The colours chosen; ``auto`` follows the system."""
    return theme_of(request.cookies.get(THEME_COOKIE, ""))


def locale() -> str:
    """The locale in which figures are written."""
    return locale_for(request.headers.get("Accept-Language", ""))


def sections_at_hand() -> list[Section]:
    """What of the product is the reader's to open."""
    where = site().meter_pages
    meters = pages_at(where, asked=request.host_url) if where else None
    return sections(person(), meters=meters, cash=site().cash.is_used)


def here() -> str:
    """The address at hand, to come back to."""
    return request.full_path.removesuffix("?") if request.method == "GET" else "/"


def day_address(trader_id: str, day: str, *, area: str = DEFAULT_AREA, suffix: str = "") -> str:
    """The address of a trader's day; of an id that no path can hold, where that is said."""
    if trader_id in DOTS:
        return f"/traders?{urlencode({'trader_id': trader_id})}"
    query = f"?area={quote(area, safe='')}" if area != DEFAULT_AREA else ""
    return f"/traders/{quote(trader_id, safe='')}/days/{day}{suffix}{query}"


def desk_address(day: str, *, area: str = DEFAULT_AREA, sort: str = "", suffix: str = "") -> str:
    """The address of a desk's day, ranked by a column; with the ``suffix`` ``.csv`` of its file."""
    asked = {name: value for name, value in (("area", area), ("sort", sort)) if value}
    if area == DEFAULT_AREA:
        del asked["area"]
    return f"/desk/{day}{suffix}" + (f"?{urlencode(asked)}" if asked else "")


def reconciliation_address(day: str, *, kind: str = "") -> str:
    """The address of a trading day's reconciliation; ``kind`` shows one kind of difference only."""
    return f"/reconciliation/{day}" + (f"?{urlencode({'kind': kind})}" if kind else "")


def prices_address(day: str, *, area: str = DEFAULT_AREA) -> str:
    """The address of a delivery day's reference prices."""
    return f"/prices/{day}" + (f"?{urlencode({'area': area})}" if area != DEFAULT_AREA else "")


def columns() -> Shown:
    """The columns that the reader chose to see."""
    return shown_of(request.cookies.get(COLUMNS_COOKIE, ""))


def tag_of(*parts: object) -> str:
    """An entity tag of everything that a page's content follows from."""
    return blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def page_facts() -> tuple[object, ...]:
    """What the frame of a page follows from, besides its figures."""
    parts = site()
    said = feed_mark(), parts.people.left_min
    frame = person(), locale(), theme(), parts.assets.version, *sections_at_hand()
    return *frame, parts.model.state, parts.course, said


def feed_mark() -> tuple[object, ...]:
    """Equal while the header's pill says the same, its seconds aside."""
    return pill_mark(site().feed.watch, site().model.state)


def header_slots(parts: Site) -> Slots:
    """What every page says above its content."""
    pill = pill_slots(parts.feed.watch, parts.model.state, parts.clock.now())
    return {**pill, **notice_slots(parts.people.left_min)}


def rendered(template: str, *, section: str = "trading", **context: object) -> str:
    """A page with its frame."""
    if "slots" not in context:  # a live page's pill comes with its other slots
        context["header"] = header_slots(site())
    return render_template(
        template,
        person=person(),
        theme=theme(),
        assets=site().assets,
        address_of=site().assets.address,
        home="/",
        purpose="Trades and PnL of the desk",
        csrf_field="csrf_token",
        root="",
        sections=sections_at_hand(),
        here=here(),
        section=section,
        course=site().course,
        **context,
    )


def unchanged(tag: str) -> Response | None:
    """304, where the browser already has the content of a tag."""
    if not request.if_none_match.contains_weak(tag):
        return None
    return kept_response(Response(status=304), tag)


def kept_response(response: Response, tag: str) -> Response:
    """Let a browser keep this content, and ask each time whether it still holds."""
    response.headers["ETag"] = f'W/"{tag}"'
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Vary"] = "Cookie, Accept-Language, Accept-Encoding"
    return response


def sent(body: Body, tag: str, *, content_type: str = HTML) -> Response:
    """A kept page, compressed where the browser takes it."""
    zipped = body.gzipped and "gzip" in request.headers.get("Accept-Encoding", "")
    response = Response(body.gzipped if zipped else body.plain, content_type=content_type)
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    return kept_response(response, tag)
