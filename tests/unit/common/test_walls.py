"""Passes: whose they are, for whom, for how long; and what a guard makes of them."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from wattbook.access import Principal, Role
from wattbook.errors import Forbidden, Unauthenticated
from wattbook.passes import PassReader, public_keys
from wattbook.walls import OPEN, Guard, WallSettings, called_by, caller

from tests.support.walls import KeyRing

OWNER = "trade-service"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def reader(ring: KeyRing) -> PassReader:
    return PassReader(ring.public_file, audience=OWNER)


def test_a_pass_says_who_calls_and_what_they_may_do(ring: KeyRing, reader: PassReader) -> None:
    token = ring.pass_of(Role.TRADER, audience=OWNER, trader_id="trader_1", may_write=False)

    for _ in range(2):  # read, then remembered
        assert reader.principal(token) == Principal(
            "ana", frozenset({Role.TRADER}), trader_id="trader_1", may_write=False
        )


def _claims(ring: KeyRing, **changes: object) -> dict[str, object]:
    claims = jwt.decode(ring.pass_of(Role.DESK, audience=OWNER), ring.key).claims
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def _unsigned(claims: dict[str, object]) -> str:
    return f"{_encoded({'alg': 'none', 'typ': 'JWT'}, claims)}."


def _signed_by_public_key(ring: KeyRing) -> str:
    content = _encoded({"alg": "HS256", "kid": ring.key.kid}, _claims(ring))
    digest = hmac.digest(ring.public_file.read_bytes(), content.encode(), "sha256")
    return f"{content}.{_base64(digest)}"


def _encoded(*parts: dict[str, object]) -> str:
    return ".".join(_base64(json.dumps(part).encode()) for part in parts)


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def test_a_pass_that_is_not_good_for_this_owner_is_refused(
    ring: KeyRing, reader: PassReader, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    stranger = KeyRing(tmp_path / "other")
    header = {"alg": "ES256", "kid": ring.key.kid}
    good = ring.pass_of(Role.DESK, audience=OWNER)
    bad = {
        "another owner's": ring.pass_of(Role.DESK, audience="report-service"),
        "over": ring.pass_of(Role.DESK, audience=OWNER, now_s=time.time() - 3600),
        "a stranger's": stranger.pass_of(Role.DESK, audience=OWNER),
        "unsigned": _unsigned(_claims(ring)),
        "signed with the public key as a secret": _signed_by_public_key(ring),
        "altered": good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"),
        "of another issuer": jwt.encode(header, _claims(ring, iss="me"), ring.key),
        "without an end": jwt.encode(header, _claims(ring, exp=None), ring.key),
        "of a scope nobody knows": jwt.encode(header, _claims(ring, scope="all"), ring.key),
        "of a role nobody knows": jwt.encode(header, _claims(ring, roles=["god"]), ring.key),
        "an access token of the REST API": jwt.encode(header, _claims(ring, aud="wattbook"), ring.key),
        "nothing": "",
        "far too long": "a" * 100_000,
    }

    for what, token in bad.items():
        with pytest.raises(Unauthenticated):
            pytest.fail(f"{what}: let in as {reader.principal(token)}")


def test_a_new_key_is_found_in_its_file_and_one_that_was_taken_out_holds_no_more(
    ring: KeyRing, reader: PassReader, tmp_path: Path
) -> None:
    old = ring.pass_of(Role.DESK, audience=OWNER)
    assert reader.principal(old).name == "ana"
    (tmp_path / "new").mkdir()
    after = KeyRing(tmp_path / "new")

    both = after.public_file.read_bytes() + ring.public_file.read_bytes()
    _replace(ring.public_file, both, mtime_s=1)
    assert reader.principal(after.pass_of(Role.DESK, audience=OWNER)).name == "ana"
    assert reader.principal(old).name == "ana"

    (tmp_path / "third").mkdir()
    third = KeyRing(tmp_path / "third")
    _replace(ring.public_file, third.public_file.read_bytes(), mtime_s=2)
    assert reader.principal(third.pass_of(Role.DESK, audience=OWNER)).name == "ana"
    with pytest.raises(Unauthenticated):
        reader.principal(old)


def _replace(path: Path, content: bytes, *, mtime_s: int) -> None:
    path.write_bytes(content)
    os.utime(path, (mtime_s, mtime_s))


def test_a_file_without_keys_of_the_right_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.pem"
    with pytest.raises(ValueError, match="cannot be read"):
        public_keys(path)
    for content in (b"", b"hello", ECKey.generate_key("P-384").as_pem(private=False)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"keys\.pem holds"):
            public_keys(path)


def test_a_method_is_for_those_its_rule_lets_in_and_without_a_rule_for_nobody(
    ring: KeyRing, reader: PassReader
) -> None:
    guard = Guard(reader)
    reading = {"authorization": f"Bearer {ring.pass_of(Role.DESK, audience=OWNER, may_write=False)}"}

    assert guard.admit(reading, Principal.require_any_role).name == "ana"
    with pytest.raises(Forbidden, match="reading only"):
        guard.admit(reading, Principal.require_booking)
    with pytest.raises(Forbidden, match="nobody"):
        guard.admit(reading, None)
    for nothing in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}):
        with pytest.raises(Unauthenticated):
            guard.admit(nothing, Principal.require_any_role)


def test_walls_are_open_only_where_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="WATTBOOK_VERIFY_KEYS_FILE is not set"):
        WallSettings().guard(OWNER)
    with pytest.raises(ValueError, match=r"WATTBOOK_VERIFY_KEYS_FILE: .* cannot be read"):
        WallSettings(verify_keys_file=tmp_path / "none.pem", open_walls=True).guard(OWNER)

    assert WallSettings(open_walls=True).guard(OWNER).is_open


def test_the_caller_is_known_inside_a_handler_only() -> None:
    somebody = OPEN.admit({}, None)
    with called_by(somebody):
        assert caller() is somebody
    with pytest.raises(Unauthenticated):
        caller()
