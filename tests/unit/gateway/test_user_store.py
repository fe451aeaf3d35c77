"""Users on their real store, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from gateway.domain.users import User
from gateway.store import UserStore
from wattbook.access import Role
from wattbook.db import migrate, open_store
from wattbook.errors import Conflict, NotFound

from tests.support.engines import NewStoreUrl

NOW = datetime(2023, 2, 28, tzinfo=UTC)


@pytest.fixture
def users(new_store_url: NewStoreUrl) -> Iterator[UserStore]:
    store = open_store(new_store_url("gateway"), name="gateway")
    migrate(store, "gateway")
    yield UserStore(store)
    store.close()


def user(name: str, *roles: Role) -> User:
    return User(name, "hash", frozenset(roles), None, disabled=False, created_at=NOW, changed_at=NOW)


def test_users_are_listed_by_the_bytes_of_their_names(users: UserStore) -> None:
    for name in ("ä", "b", "B", "a_b", "aB"):
        users.add(user(name, Role.DESK))

    assert [each.name for each in users.all()] == ["B", "aB", "a_b", "b", "ä"]


def test_a_name_is_taken_once(users: UserStore) -> None:
    users.add(user("ana", Role.DESK))

    with pytest.raises(Conflict, match="a user 'ana' exists already"):
        users.add(user("ana", Role.ADMIN))
    assert users.find("ana") == user("ana", Role.DESK)


@pytest.mark.parametrize("name", ["a\0b", "\0", "\ud800", ""])
def test_a_name_that_nobody_can_have_is_nobody(users: UserStore, name: str) -> None:
    users.add(user("a", Role.ADMIN))

    assert users.find(name) is None
    with pytest.raises(NotFound):
        users.change(name, lambda found: found)
