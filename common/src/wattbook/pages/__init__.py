"""The frame of every page: style sheet and templates (Jinja), sections, the headers of each answer.

Free of any web framework: report-service's pages are Flask, meter-service's are Django.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from wattbook.auth.people import Person

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"
THEME_COOKIE = "wattbook_theme"
THEMES = ("light", "auto", "dark")
LONGEST_ADDRESS = 2000
_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    ("Content-Security-Policy", _CONTENT_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
ERROR_TITLES = {
    400: "That did not work",
    403: "Not yours to see",
    404: "Nothing here",
    405: "Not possible here",
    409: "Not possible now",
    413: "Too large",
    429: "Slow down",
    500: "Something broke on our side",
    503: "Not ready",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A link of the header; ``key`` is what one types for it."""

    name: str
    title: str
    address: str
    key: str = ""
    tip: str = ""


def sections(
    person: Person | None, *, reports: str = "", meters: str | None, cash: bool = True
) -> list[Section]:
    """What of the product is theirs to open; ``reports`` and ``meters`` are where those pages are.

    "": at this address; ``meters`` None: there are none. Those about ``cash`` are among the reports.
    """
    found: list[Section] = []
    if person is None:
        return found
    if person.sees_trades or not person.roles:
        found.append(Section("trading", "Trading", f"{reports}/"))
    if person.reads_all:
        found.append(Section("desk", "Desk", f"{reports}/desk", "g d", "All traders of today (g d)"))
    if person.sees_cash and cash:
        found.append(Section("cash", "Cash", f"{reports}/cash", "g c", "Company cash (g c)"))
    if person.sees_meters and meters is not None:
        found.append(Section("meters", "Meters", f"{meters}/admin/", "g m", "Meter readings (g m)"))
    return found


def pages_at(setting: str, *, asked: str) -> str:
    """Where other pages are by their setting; ``:port`` is at the host of the address ``asked``."""
    if not setting.startswith(":"):
        return setting.rstrip("/")
    parts = urlsplit(asked)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{setting}"


def theme_of(cookie: str) -> str:
    """The colours chosen; ``auto`` follows the system."""
    return cookie if cookie in THEMES else "auto"


def safe_address(text: str, *, instead: str = "/") -> str:
    """``text`` where it is an address on this site; otherwise ``instead``: nobody is led elsewhere."""
    if not text.startswith("/") or text.startswith(("//", "/\\")) or len(text) > LONGEST_ADDRESS:
        return instead
    if "\\" in text or not text.isprintable():
        return instead
    parts = urlsplit(text)
    return instead if parts.scheme or parts.netloc else text


def is_from_here(*, origin: str | None, fetch_site: str | None, host_url: str) -> bool:
    """Whether the browser itself says that this form is on a page of this site; other sites cannot say so."""
    if origin is not None:
        return origin == host_url.rstrip("/")
    return fetch_site == "same-origin"


def request_id_of(given: str) -> str:
    """The id that came with a request, where it looks like one; otherwise a new one."""
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
