"""Sessions end when they should, and follow the gateway's word on roles."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from wattbook.auth.people import GRACE_S, People, Person, SignedIn
from wattbook.auth.revocations import Revocation, Revocations
from wattbook.clock import FakeClock
from wattbook.errors import InvalidInput, TooManyRequests, Unauthenticated, Unavailable

from tests.unit.report_service.fakes import NOW, FakeGateway

ANA = Person("ana", ("desk",))
HOUR_S = 3600
HERE = "198.51.100.7"


class Signing:
    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.gateway = FakeGateway(self.clock, ana=ANA)
        self.people = People(self.gateway, self.clock, idle_s=2 * HOUR_S, longest_s=12 * HOUR_S)
        self.revocations = Revocations(self.clock)
        self.followed = People(
            self.gateway, self.clock, idle_s=2 * HOUR_S, longest_s=12 * HOUR_S, revocations=self.revocations
        )

    def in_(self) -> SignedIn:
        return self.people.sign_in(name="ana", password="correct horse", address=HERE)


@pytest.fixture
def signing() -> Signing:
    return Signing()


@pytest.mark.parametrize(
    ("person", "trader_id", "may"),
    [
        (Person("ana", ("desk",)), "trader_1", True),
        (Person("root", ("admin",)), "trader_1", True),
        (Person("tim", ("trader",), "trader_1"), "trader_1", True),
        (Person("tim", ("trader",), "trader_1"), "trader_2", False),
        (Person("tim", ("trader",), None), "trader_1", False),
        (Person("tim", ("trader", "desk"), "trader_1"), "trader_2", True),
        (Person("x", (), "trader_1"), "trader_1", False),
    ],
)
def test_a_trader_reads_only_their_own_reports(person: Person, trader_id: str, may: bool) -> None:
    assert person.may_read(trader_id) is may


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("ana", "")])
def test_a_missing_name_or_password_is_not_sent(signing: Signing, name: str, password: str) -> None:
    with pytest.raises(InvalidInput):
        signing.people.sign_in(name=name, password=password, address=HERE)
    assert signing.gateway.issued == 0


def test_the_gateway_hears_for_whom_it_is_asked(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(HOUR_S)
    signing.people.still(session, address="198.51.100.8")

    assert signing.gateway.addresses == [HERE, "198.51.100.8"]


def test_an_absurdly_long_password_is_refused_without_asking(signing: Signing) -> None:
    signing.gateway.refusal = AssertionError("asked")  # type: ignore[assignment]

    with pytest.raises(Unauthenticated):
        signing.people.sign_in(name="ana", password="x" * 10_000, address=HERE)


@pytest.mark.parametrize("refusal", [TooManyRequests("slow", retry_after_s=30), Unavailable("away")])
def test_refusals_of_the_gateway_reach_the_caller(signing: Signing, refusal: Exception) -> None:
    signing.gateway.refusal = refusal  # type: ignore[assignment]

    with pytest.raises(type(refusal)):
        signing.in_()


def test_a_fresh_session_is_kept_as_it_is(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(60)

    assert signing.people.still(session, address=HERE) is session


def test_use_keeps_a_session_alive_and_idleness_ends_it(signing: Signing) -> None:
    session = signing.in_()
    for _ in range(4):
        signing.clock.advance(HOUR_S)
        session = signing.people.still(session, address=HERE)

    signing.clock.advance(2 * HOUR_S + 1)
    with pytest.raises(Unauthenticated):
        signing.people.still(session, address=HERE)


def test_no_session_outlives_its_longest(signing: Signing) -> None:
    session = signing.in_()
    for _ in range(12):
        signing.clock.advance(HOUR_S)
        session = signing.people.still(session, address=HERE)

    signing.clock.advance(1)
    with pytest.raises(Unauthenticated):
        signing.people.still(session, address=HERE)


def test_roles_are_asked_for_again_when_the_token_runs_out(signing: Signing) -> None:
    session = signing.in_()
    signing.gateway.people["ana"] = Person("ana", ("trader",), "trader_9")
    assert signing.people.still(session, address=HERE).person.reads_all

    signing.clock.advance(HOUR_S)

    assert not signing.people.still(session, address=HERE).person.reads_all


def test_a_disabled_user_is_signed_out_when_the_token_runs_out(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(HOUR_S)
    signing.gateway.refusal = Unauthenticated("disabled")

    with pytest.raises(Unauthenticated):
        signing.people.still(session, address=HERE)


def test_requests_at_once_renew_only_once(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(HOUR_S)
    found: list[SignedIn] = []
    threads = [
        threading.Thread(target=lambda: found.append(signing.people.still(session, address=HERE)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)

    assert len(found) == 8
    assert {each.tokens.access for each in found} == {"access-2"}
    assert signing.gateway.issued == 2


def test_an_old_cookie_leads_to_the_newest_tokens(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(HOUR_S)
    second = signing.people.still(session, address=HERE)
    signing.clock.advance(HOUR_S)
    third = signing.people.still(second, address=HERE)

    assert third.tokens.access == "access-3"
    assert signing.people.still(session, address=HERE).tokens.access == "access-3"


def test_a_session_outlives_a_short_absence_of_the_gateway(signing: Signing) -> None:
    session = signing.in_()
    signing.clock.advance(HOUR_S)
    signing.gateway.refusal = Unavailable("away")
    assert signing.people.still(session, address=HERE).person == ANA

    signing.clock.advance(GRACE_S + 1)
    with pytest.raises(Unavailable):
        signing.people.still(session, address=HERE)

    signing.gateway.refusal = None
    signing.clock.advance(60)
    assert signing.people.still(session, address=HERE).tokens.access == "access-2"


def test_it_says_until_when_a_session_stays_the_same(signing: Signing) -> None:
    session = signing.in_()
    until_s = signing.people.unchanged_until_s(session)
    signing.clock.advance(until_s - session.since_s - 1)
    assert signing.people.still(session, address=HERE) is session

    signing.clock.advance(1)
    assert signing.people.still(session, address=HERE) is not session


@pytest.mark.parametrize(
    ("revocation", "ends"),
    [
        (Revocation(1, "ana", None, 1), True),
        (Revocation(1, "ana", "session-1", 0), True),
        (Revocation(1, "ben", None, 1), False),
        (Revocation(1, "ana", "another", 0), False),
    ],
)
def test_a_session_ends_as_soon_as_it_is_heard_that_it_did(
    signing: Signing, revocation: Revocation, ends: bool
) -> None:
    people = signing.followed
    session = people.sign_in(name="ana", password="correct horse", address=HERE)

    signing.revocations.hear(1, [revocation])

    assert people.goes_on(session) is not ends
    if ends:
        with pytest.raises(Unauthenticated):
            people.still(session, address=HERE)
    else:
        assert people.still(session, address=HERE) is session


def test_a_session_of_an_older_release_ends_with_any_change_of_its_user(signing: Signing) -> None:
    session = signing.in_()
    old = replace(session, tokens=replace(session.tokens, session=None))
    assert signing.followed.goes_on(old)

    signing.revocations.hear(1, [Revocation(1, "ana", None, 1)])

    assert not signing.followed.goes_on(old)


def test_an_old_cookie_leads_to_no_session_that_is_over(signing: Signing) -> None:
    people = signing.followed
    session = people.sign_in(name="ana", password="correct horse", address=HERE)
    old = replace(session, tokens=replace(session.tokens, session=None, expires_s=0))
    signing.gateway.renewed = lambda tokens, *, address: session.tokens  # type: ignore[method-assign]
    signing.revocations.hear(1, [Revocation(1, "x", "session-1", 0)])

    with pytest.raises(Unauthenticated):
        people.still(old, address=HERE)


def test_sessions_go_on_for_ten_minutes_while_nothing_is_heard(signing: Signing) -> None:
    people = signing.followed
    session = people.sign_in(name="ana", password="correct horse", address=HERE)
    signing.revocations.hear(0, [])
    assert people.left_min is None

    signing.clock.advance(61)
    assert (people.left_min, people.goes_on(session)) == (9, True)
    signing.clock.advance(540)
    assert not people.goes_on(session)
    with pytest.raises(Unavailable):
        people.still(session, address=HERE)

    signing.revocations.hear(0, [])
    assert people.left_min is None
    assert people.still(session, address=HERE) is not None


def test_who_signs_out_while_the_gateway_is_away_is_out_here_now_and_there_later(signing: Signing) -> None:
    people = signing.followed
    session = people.sign_in(name="ana", password="correct horse", address=HERE)
    signing.gateway.refusal = Unavailable("away")
    people.sign_out(session)
    assert not people.goes_on(session)  # nor does a copied cookie

    people.revoke_waiting()
    signing.gateway.refusal = None
    people.revoke_waiting()
    people.revoke_waiting()

    assert signing.gateway.revoked == [session.tokens.refresh]
