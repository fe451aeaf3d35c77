"""Passes: whose they are, for whom, for how long; and what a guard makes of them."""

from __future__ import annotations

import base64
import hmac
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError
from joserfc.jwk import ECKey
from wattbook import telemetry
from wattbook.access import Principal, Role
from wattbook.auth.tokens import LOOK_AGAIN_S, TokenReader, public_keys
from wattbook.errors import Forbidden, Unauthenticated, Unavailable
from wattbook.walls import ASK_AGAIN_S, OPEN, Guard, ServicePasses, WallSettings, called_by, caller

from tests.support.otlp_sink import otlp_sink, recorded
from tests.support.waiting import wait_until
from tests.support.walls import KeyRing

OWNER = "trade-service"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path)


@pytest.fixture
def reader(ring: KeyRing) -> TokenReader:
    return TokenReader(ring.public_file, audience=OWNER)


def test_a_pass_says_who_calls_and_what_they_may_do(ring: KeyRing, reader: TokenReader) -> None:
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
    ring: KeyRing, reader: TokenReader, tmp_path: Path
) -> None:
    stranger = _another(tmp_path, "other")
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


def test_a_new_key_is_found_in_its_file_at_once(ring: KeyRing, reader: TokenReader, tmp_path: Path) -> None:
    old = ring.pass_of(Role.DESK, audience=OWNER)
    assert reader.principal(old).name == "ana"
    after = _another(tmp_path, "new")

    _replace(ring.public_file, after.public_file.read_bytes() + ring.public_file.read_bytes(), mtime_s=1)

    assert reader.principal(after.pass_of(Role.DESK, audience=OWNER)).name == "ana"
    assert reader.principal(old).name == "ana"


def test_a_key_that_was_taken_out_holds_no_more_though_nobody_shows_a_new_one(
    ring: KeyRing, tmp_path: Path
) -> None:
    now_s = 0.0
    reader = TokenReader(ring.public_file, audience=OWNER, monotonic=lambda: now_s)
    old, after = ring.pass_of(Role.DESK, audience=OWNER), _another(tmp_path, "new")
    _replace(ring.public_file, after.public_file.read_bytes() + ring.public_file.read_bytes(), mtime_s=1)
    assert reader.principal(after.pass_of(Role.DESK, audience=OWNER)).name == "ana"
    assert reader.principal(old).name == "ana"

    _replace(ring.public_file, after.public_file.read_bytes(), mtime_s=1)  # another size says it too
    now_s += LOOK_AGAIN_S

    for stolen in (old, ring.pass_of(Role.ADMIN, audience=OWNER)):
        with pytest.raises(Unauthenticated):
            reader.principal(stolen)
    assert reader.principal(after.pass_of(Role.DESK, audience=OWNER)).name == "ana"


def test_keys_are_found_where_a_cluster_swaps_them_by_a_link(ring: KeyRing, tmp_path: Path) -> None:
    """As the kubelet does: the file is a link into ``..data``, itself a link to the folder of the day."""
    now_s, after = 0.0, _another(tmp_path, "new")
    (tmp_path / "..data").symlink_to(tmp_path / "first")
    for folder, key in (("first", ring), ("second", after)):
        (tmp_path / folder).mkdir()
        _replace(tmp_path / folder / "keys.pem", key.public_file.read_bytes(), mtime_s=1)
    (tmp_path / "keys.pem").symlink_to("..data/keys.pem")
    reader = TokenReader(tmp_path / "keys.pem", audience=OWNER, monotonic=lambda: now_s)
    old = ring.pass_of(Role.DESK, audience=OWNER)
    assert reader.principal(old).name == "ana"

    (tmp_path / "..data_tmp").symlink_to(tmp_path / "second")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    now_s += LOOK_AGAIN_S

    with pytest.raises(Unauthenticated):
        reader.principal(old)


def test_keys_stay_good_while_their_file_is_away_or_half_written(ring: KeyRing, tmp_path: Path) -> None:
    now_s = 0.0
    reader = TokenReader(ring.public_file, audience=OWNER, monotonic=lambda: now_s)
    whole = ring.public_file.read_bytes()

    for broken in (whole[:40], b""):
        ring.public_file.write_bytes(broken)
        now_s += LOOK_AGAIN_S
        assert reader.principal(ring.pass_of(Role.DESK, audience=OWNER)).name == "ana"
    ring.public_file.unlink()
    now_s += LOOK_AGAIN_S
    assert reader.principal(ring.pass_of(Role.DESK, audience=OWNER)).name == "ana"

    after = _another(tmp_path, "new")
    ring.public_file.write_bytes(after.public_file.read_bytes())
    now_s += LOOK_AGAIN_S
    with pytest.raises(Unauthenticated):
        reader.principal(ring.pass_of(Role.DESK, audience=OWNER))


def test_threads_that_meet_a_new_key_at_once_are_all_let_in(
    ring: KeyRing, reader: TokenReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after, both, decode = _another(tmp_path, "new"), threading.Barrier(2), jwt.decode

    def slow(token: str, keys: Any, **how: Any) -> Any:
        try:
            return decode(token, keys, **how)
        except InvalidKeyIdError:
            both.wait(10)  # both threads have seen that the key is new before one of them reads the file
            raise

    monkeypatch.setattr(jwt, "decode", slow)
    ring.public_file.write_bytes(after.public_file.read_bytes())
    passes = [after.pass_of(Role.DESK, audience=OWNER, name=name) for name in ("ana", "bob")]

    with ThreadPoolExecutor(2) as threads:
        assert [each.name for each in threads.map(reader.principal, passes)] == ["ana", "bob"]


def _another(folder: Path, name: str) -> KeyRing:
    (folder / name).mkdir()
    return KeyRing(folder / name)


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
    ring: KeyRing, reader: TokenReader
) -> None:
    guard = Guard(reader)
    reading = {"authorization": f"Bearer {ring.pass_of(Role.DESK, audience=OWNER, may_write=False)}"}

    assert guard.admit(reading, Principal.require_trading).name == "ana"
    with pytest.raises(Forbidden, match="reading only"):
        guard.admit(reading, Principal.require_booking)
    with pytest.raises(Forbidden, match="nobody"):
        guard.admit(reading, None)
    for nothing in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}):
        with pytest.raises(Unauthenticated):
            guard.admit(nothing, Principal.require_trading)


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


class TokenEndpoint:
    """A gateway's token endpoint: gives passes that last 1,000 s, refuses, or hangs, as it is told."""

    def __init__(self) -> None:
        self.asked, self.refuses, self.goes_on = 0, False, threading.Event()
        self.traceparents: list[str] = []
        self.goes_on.set()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.asked += 1
                endpoint.traceparents.append(self.headers["traceparent"])
                body = json.dumps({"access_token": f"pass {endpoint.asked}", "expires_in": 1000}).encode()
                endpoint.goes_on.wait(60)
                self.send_response(503 if endpoint.refuses else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.goes_on.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    made = TokenEndpoint()
    yield made
    made.close()


def test_a_pass_that_is_still_good_is_used_while_a_gateway_hangs_and_renewed_meanwhile(
    endpoint: TokenEndpoint,
) -> None:
    now_s = 0.0
    passes = ServicePasses(
        gateway_url=endpoint.url, client_id="me", secret="x", audience=OWNER, monotonic=lambda: now_s
    )
    assert [passes(), passes()] == ["pass 1"] * 2

    now_s = 500.0
    endpoint.goes_on.clear()
    assert {passes() for _ in range(20)} == {"pass 1"}
    wait_until(lambda: endpoint.asked == 2, timeout_s=10, what="the next one is asked for")
    assert passes() == "pass 1"
    endpoint.goes_on.set()

    wait_until(lambda: passes() == "pass 2", timeout_s=10, what="the next one is used")
    assert endpoint.asked == 2


def test_a_gateway_that_gives_no_pass_is_asked_now_and_then_only(endpoint: TokenEndpoint) -> None:
    now_s, endpoint.refuses = 100.0, True
    passes = ServicePasses(
        gateway_url=endpoint.url, client_id="me", secret="x", audience=OWNER, monotonic=lambda: now_s
    )
    for _ in range(5):
        with pytest.raises(Unavailable, match=f"no pass to {OWNER}"):
            passes()
    assert endpoint.asked == 1

    now_s, endpoint.refuses = 100.0 + ASK_AGAIN_S, False
    assert passes() == "pass 2"
    now_s += 995.0  # past its end, and nobody asked meanwhile
    assert passes() == "pass 3"


def test_asking_for_a_pass_is_a_part_of_the_trace_that_needed_it(endpoint: TokenEndpoint) -> None:
    passes = ServicePasses(gateway_url=endpoint.url, client_id="me", secret="x", audience=OWNER)
    with otlp_sink() as sink:
        with recorded(sink, service="report-service"), telemetry.entering("load the book"):
            passes()

        (sent,) = [span for span in sink.spans if span.kind == "client"]
        assert endpoint.traceparents == [f"00-{sent.trace_id}-{sent.span_id}-01"]
        assert sent.attributes["url.full"] == f"{endpoint.url}/v1/oauth/token"
        (duration,) = sink.latest("report-service", "http.client.request.duration")
        assert (duration.count, duration.attributes["http.response.status_code"]) == (1, 200)
