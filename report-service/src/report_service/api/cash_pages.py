"""Pages about companies' cash: find one, what it has and what moved it, its payments, what is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from markupsafe import Markup
from wattbook.errors import Forbidden
from wattbook_proto import cash_pb2
from werkzeug.wrappers import Response as AnyResponse

from report_service.api import cash_slots
from report_service.api.answers import live_page, stream_of
from report_service.api.cash_addresses import (
    chosen_of,
    company_address,
    look_of,
    payments_address,
    query_of,
    set_aside_address,
    with_cursor,
)
from report_service.api.cash_figures import complete_to, flags, moment_text, money
from report_service.api.figures import Writer, day_text
from report_service.api.health import joined
from report_service.api.signin import require_person
from report_service.api.site import header_slots, locale, rendered, site, tag_of
from report_service.api.streams import Snapshot, Topic
from report_service.api.world import country_name, world
from report_service.domain.cash import CURRENCIES, INTERVALS, Look, newest
from report_service.usecases.cash import CASH

PAGE_ROWS = 100
LONGEST_QUERY = 200
PART = "X-Part"
_SOURCES = {cash_pb2.SEPA: "SEPA", cash_pb2.SWIFT: "SWIFT"}
_DIRECTIONS = {cash_pb2.IN: "in", cash_pb2.OUT: "out", cash_pb2.INTERNAL: "internal"}

cash_pages = Blueprint("cash", __name__, url_prefix="/cash")


@cash_pages.before_request
def _require_cash() -> AnyResponse | None:
    """As the gateway's API has it."""
    elsewhere = require_person()
    if elsewhere is None and not g.person.sees_cash:
        raise Forbidden("Company cash is for treasurers and the desk.")
    return elsewhere


@cash_pages.get("")
def find() -> str | AnyResponse:
    """Companies by name, id or IBAN; alone, the one that is found."""
    query, cursor = request.args.get("q", "").strip()[:LONGEST_QUERY], request.args.get("cursor", "")
    owner = site().cash.owner
    reply = owner.companies(query, cursor=cursor, limit=PAGE_ROWS)
    is_part = request.headers.get(PART) == "companies"
    if query and not cursor and len(reply.companies) == 1 and not is_part:
        return redirect(f"/cash/companies/{reply.companies[0].id}")
    view = {
        "query": query,
        "companies": [_found(each, Writer(locale())) for each in reply.companies],
        "older_url": with_cursor("/cash", request.args, reply.next_cursor) if reply.next_cursor else "",
    }
    if is_part:
        return render_template("companies.html", view=view)
    return rendered("cash.html", section="cash", view={**view, **_status_view(owner.status())})


@cash_pages.get("/companies/<number>")
def company(number: str) -> AnyResponse:
    """What a company has, and what moved it."""
    look = _look(number)
    snapshot = company_topic(look, locale(), asks=True).render()
    return live_page("company.html", snapshot, lambda: _company_view(look), look, section="cash")


@cash_pages.get("/companies/<number>/stream")
def company_stream(number: str) -> AnyResponse:
    """What changes on it."""
    return stream_of(company_topic(_look(number), locale()))


@cash_pages.get("/companies/<number>/payments")
def payments(number: str) -> str:
    """The payments that figures are made of."""
    look, chosen = _look(number), chosen_of(request.args)
    page = site().cash.owner.payments(look, chosen, cursor=request.args.get("cursor", ""), limit=PAGE_ROWS)
    writer = Writer(locale())
    view = {
        **_frame(look),
        "chosen": chosen,
        "sums": _sums(page, writer) if page.HasField("sums") else None,
        "rows": [_payment(each, look, writer) for each in page.transactions],
        "left_out": [
            f"{money(each.amount, writer).striptags()} {each.currency}" for each in page.sums.left_out
        ],
        "company_url": company_address(look),
        "first_url": payments_address(look, chosen) if request.args.get("cursor") else "",
        "older_url": with_cursor(request.path, request.args, page.next_cursor) if page.next_cursor else "",
    }
    return rendered("payments.html", section="cash", view=view)


@cash_pages.get("/companies/<number>/set-aside")
def set_aside(number: str) -> str:
    """What is left out of a company's balances, and why."""
    look = _look(number)
    reply = site().cash.owner.set_aside(
        look.company_id, cursor=request.args.get("cursor", ""), limit=PAGE_ROWS
    )
    view = {
        **_frame(look),
        "rows": [_aside(each) for each in reply.rows],
        "company_url": company_address(look, period=False),
        "older_url": with_cursor(request.path, request.args, reply.next_cursor) if reply.next_cursor else "",
    }
    return rendered("set_aside.html", section="cash", view=view)


def company_topic(look: Look, locale_: str, *, asks: bool = False) -> Topic:
    """A company's page as a stream. Only with ``asks`` is its owner asked, where what is known may be old."""
    parts = site()

    def render() -> Snapshot:
        def write(found: Any) -> Mapping[str, str]:
            texts = cash_slots.texts_of(cash_slots.live_slots(found, look, locale_))
            texts["name"] = str(Markup("{}").format(found.company.company.name))
            texts["about"] = str(_about(found.company))
            return texts

        texts = None if asks else parts.cash.last_texts(look, locale_, write)
        if texts is None:
            texts = parts.cash.texts(look, locale_, write)
        version = tag_of(*sorted(texts.items()))
        return joined(Snapshot(version, dict(texts)), {**header_slots(parts), "away": _away()})

    def _away() -> Markup:
        since = parts.cash.lost_since
        if since is None:
            return Markup("")
        return Markup(
            '<p class="notice warn afloat" role="status"><strong>cash-service has not answered since {}.'
            "</strong> The figures are those known then.</p>"
        ).format(f"{since.astimezone(UTC):%H:%M:%S} UTC")

    return Topic(("cash", look, locale_), frozenset({(CASH, look.company_id)}), render)


def _look(number: str) -> Look:
    return look_of(number, request.args, today=site().clock.now().astimezone(UTC).date())


def _about(reply: cash_pb2.CompanyReply) -> Markup:
    about = reply.company
    words = [f"No. {about.id}", about.owner, " ".join(about.address.split())]
    if reply.HasField("first_payment_us") and reply.HasField("last_payment_us"):
        first, last = (
            moment_text(each).partition(",")[0] for each in (reply.first_payment_us, reply.last_payment_us)
        )
        words.append(f"payments {first} … {last}")
    return Markup('<span class="sep">·</span>').join(each for each in words if each)


def _frame(look: Look) -> dict[str, object]:
    """What the pages of a company share: which period, and what counts."""
    return {
        "id": look.company_id,
        "look": look,
        "currency": look.currency,
        "first": look.first.isoformat(),
        "last": look.last.isoformat(),
        "period": f"{day_text(look.first)} … {day_text(look.last)}",
        "hidden": query_of(look),
        "set_aside_url": set_aside_address(look),
    }


def _company_view(look: Look) -> dict[str, object]:
    today = site().clock.now().astimezone(UTC).date()
    return {
        **_frame(look),
        "locale": locale().replace("_", "-"),
        "stream_url": company_address(look, suffix="/stream"),
        "previous_url": company_address(look.moved(-1)),
        "next_url": company_address(look.moved(1)),
        "today_url": company_address(look, period=False),
        "is_newest": (look.first, look.last) == newest(look.interval, today),
        "intervals": [
            {
                "name": name,
                "title": name.capitalize(),
                "url": company_address(look, period=False, interval=name),
            }
            for name in INTERVALS
        ],
        "currencies": [{"name": name, "url": company_address(look, currency=name)} for name in CURRENCIES],
        "payments_url": payments_address(look),
        "all_accounts_url": company_address(look, account="") if look.account else "",
        "world": world(),
        "country_url": lambda code: payments_address(look, {"country": code}),
    }


def _found(each: cash_pb2.CompanySummary, writer: Writer) -> dict[str, object]:
    stated = each.stated_balance
    return {
        "id": each.id,
        "url": f"/cash/companies/{each.id}",
        "name": each.name,
        "owner": each.owner,
        "accounts": writer.number(each.accounts),
        "iban": each.matched_iban,
        "gone": each.gone,
        "stated": money(stated.amount, writer) if stated.currency else "",
        "stated_currency": stated.currency,
    }


def _status_view(status: cash_pb2.StatusReply) -> dict[str, object]:
    writer = Writer(locale())
    return {
        "companies_total": writer.number(status.companies),
        "accounts_total": writer.number(status.accounts),
        "set_aside_total": writer.number(status.set_aside),
        "check_trouble": status.check_trouble,
        "rates_warning": status.basis.rates.warning,
        "loading": status.basis.loading,
        "sources": [
            {
                "name": _SOURCES.get(each.source, ""),
                "complete": complete_to(each),
                "payments": writer.number(each.payments),
                "windows": writer.number(each.windows),
                "missing": each.windows_missing,
                "trouble": each.trouble,
            }
            for each in status.sources
        ],
    }


def _sums(page: cash_pb2.TransactionPage, writer: Writer) -> dict[str, object]:
    sums = page.sums
    return {
        "payments": writer.number(sums.payments),
        "in": money(sums.cash_in, writer),
        "out": money(sums.cash_out, writer),
        "internal": money(sums.internal, writer),
        "net": money(sums.net, writer, sign=True),
    }


def _payment(each: cash_pb2.Transaction, look: Look, writer: Writer) -> dict[str, object]:
    sign = "" if each.credit else "-"
    amount = money(f"{sign}{each.money.amount}", writer, sign=True)
    other = each.counterparty
    return {
        "time": moment_text(each.time_us),
        "id": each.id,
        "kind": _SOURCES.get(each.source, ""),
        "direction": _DIRECTIONS.get(each.direction, ""),
        "account": each.iban,
        "other": other.iban,
        "other_url": payments_address(look, {"counterparty": other.iban}),
        "other_flags": flags(other),
        "country": country_name(other.country),
        "bank": other.bank,
        "amount": amount,
        "currency": each.money.currency,
        "converted": money(f"{sign}{each.converted}" if each.converted else "", writer, sign=True),
        "flags": [flag.replace("_", " ") for flag in each.flags],
    }


def _aside(each: cash_pb2.SetAsideRow) -> dict[str, object]:
    return {
        "kind": _SOURCES.get(each.source, ""),
        "place": f"{each.window} / {each.position}",
        "reasons": [cash_slots.KINDS.get(one, (one.replace("_", " "), ""))[0] for one in each.reasons],
        "id": each.id,
        "payer": each.payer,
        "beneficiary": each.beneficiary,
        "amount": each.amount,
        "currency": each.currency,
        "time": each.time,
        "text": each.text,
    }
