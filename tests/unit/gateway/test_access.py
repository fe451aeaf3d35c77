"""Who may do what."""

import pytest
from gateway.domain.users import check_name, check_password, check_trader_id, checked_roles
from wattbook.access import Principal, Role
from wattbook.errors import Forbidden, InvalidInput

TRADER = Principal("t", frozenset({Role.TRADER}), "trader_1")
NOBODY = Principal("n", frozenset())


@pytest.mark.parametrize("role", [Role.DESK, Role.ADMIN, Role.SERVICE])
def test_desk_admin_and_service_use_every_trader(role: Role) -> None:
    principal = Principal("p", frozenset({role}))

    assert principal.refusal("anybody") is None
    assert principal.visible_trader_id("") == ""
    assert principal.visible_trader_id("x") == "x"


def test_a_trader_uses_the_own_one_only() -> None:
    assert TRADER.refusal("trader_1") is None
    assert TRADER.refusal("trader_2") == "you may only use trades of trader_1"
    assert TRADER.visible_trader_id("") == "trader_1"
    with pytest.raises(Forbidden):
        TRADER.visible_trader_id("trader_2")


def test_a_trader_who_is_also_of_the_desk_uses_all() -> None:
    both = Principal("b", frozenset({Role.TRADER, Role.DESK}), "trader_1")

    assert both.refusal("trader_2") is None
    assert both.visible_trader_id("") == ""


@pytest.mark.parametrize("trader_id", ["", "trader_1"])
def test_a_trader_id_without_the_role_opens_nothing(trader_id: str) -> None:
    for principal in (NOBODY, Principal("n", frozenset(), trader_id)):
        with pytest.raises(Forbidden):
            principal.require_trader(trader_id)
        with pytest.raises(Forbidden):
            principal.visible_trader_id("")


@pytest.mark.parametrize("role", Role)
def test_cash_is_for_the_desk_and_treasurers(role: Role) -> None:
    principal = Principal("p", frozenset({role}), "trader_1")

    if role in {Role.TRADER, Role.SUPPORT}:
        with pytest.raises(Forbidden, match="treasurer"):
            principal.require_cash()
    else:
        principal.require_cash()


@pytest.mark.parametrize("role", [Role.DESK, Role.TRADER, Role.SERVICE])
def test_users_are_the_admins_business(role: Role) -> None:
    Principal("a", frozenset({Role.ADMIN})).require_admin()
    with pytest.raises(Forbidden):
        Principal("p", frozenset({role}), "trader_1").require_admin()


@pytest.mark.parametrize("name", ["a", "Anna.B-c_d@desk", "9", "a" * 64])
def test_names_that_can_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "ä", "a\n", "a" * 65, "a:b"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"^name: "):
        check_name(name)


def test_passwords_have_a_length() -> None:
    check_password("12345678")
    check_password("é" * 512)
    for password in ("1234567", "é" * 513):
        with pytest.raises(InvalidInput, match=r"^password: "):
            check_password(password)


def test_roles_are_known_and_a_trader_has_a_trader_id() -> None:
    assert checked_roles(["desk", "admin", "desk"], None) == {Role.DESK, Role.ADMIN}
    assert checked_roles(["trader"], "é 1") == {Role.TRADER}
    for roles in (["king"], ["trader"]):
        with pytest.raises(InvalidInput):
            checked_roles(roles, None)


@pytest.mark.parametrize(
    "trader_id", ["", " ", "a\n", "x" * 65, "csv_t ", "csv_t\u00a0", "csv_t\u200b", "Ju\u0308rgen", ".", ".."]
)
def test_nobody_is_given_a_trader_id_that_looks_like_another_or_has_no_page(trader_id: str) -> None:
    with pytest.raises(InvalidInput, match=r"^trader_id: "):
        check_trader_id(trader_id)


def test_a_refusal_says_what_the_eye_cannot_see() -> None:
    assert TRADER.refusal("trader_1\u00a0") == (
        "you may only use trades of trader_1; character 9 (U+00A0 NO-BREAK SPACE) cannot be seen"
    )
