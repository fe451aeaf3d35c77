"""Every error has the one shape, rubbish below HTTP included; the pages and their headers."""

import json

import httpx
import pytest

from tests.integration.gateway.support import REPORT, refusal
from tests.unit.gateway.started import Started


class TestErrors:
    def test_nothing_there_is_not_found(self, nobody: httpx.Client) -> None:
        for path in (
            "/v1",
            "/v1/nothing",
            "/v1/trades/",
            "/v2/trades",
            "/favicon.ico",
            "/v1/ui/../../etc/passwd",
        ):
            refusal(nobody.get(path), 404)

    def test_another_method_is_not_allowed_and_says_which_are(self, nobody: httpx.Client) -> None:
        for path, allowed in (
            ("/v1/trades", "GET, HEAD, POST"), ("/v1/users/x", "GET, HEAD, PATCH"), ("/healthz", "GET, HEAD"),
        ):  # fmt: skip
            answer = nobody.request("DELETE", path)
            refusal(answer, 405)
            assert answer.headers["allow"] == allowed

    def test_a_form_that_is_not_served_is_not_acceptable(self, admin: httpx.Client) -> None:
        refusal(admin.get("/v1/trades", headers={"Accept": "text/html"}), 406)
        refusal(admin.get(REPORT, headers={"Accept": "application/json;q=0, text/html"}), 406)
        assert admin.get("/v1/me", headers={"Accept": "text/html, */*;q=0.1"}).status_code == 200

    def test_a_fault_of_ours_shows_nothing_of_it(
        self, own_gateway: Started, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr("gateway.usecases.trades._request", broken)
        with own_gateway.client() as client:
            message = refusal(client.get("/v1/trades"), 500)

        assert message == "internal error; quote the request id"

    def test_a_request_id_that_makes_sense_is_kept(self, nobody: httpx.Client) -> None:
        kept = nobody.get("/healthz", headers={"X-Request-Id": "abc-123.D_e"})
        made = [
            nobody.get("/healthz", headers={"X-Request-Id": bad}) for bad in ("a b", "x" * 129, "<script>")
        ]

        assert kept.headers["x-request-id"] == "abc-123.D_e"
        assert all(len(answer.headers["x-request-id"]) == 16 for answer in made)

    @pytest.mark.parametrize(
        "rubbish",
        [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 32, b"hello\r\n\r\n", b"GET\r\n\r\n",
         b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
         b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
         b"POST /v1/trades HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
         b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
         b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n"],
    )  # fmt: skip
    def test_rubbish_at_the_level_of_http_is_a_bad_request(self, gateway: Started, rubbish: bytes) -> None:
        head, _, body = gateway.raw(rubbish).partition(b"\r\n\r\n")

        assert head.startswith(b"HTTP/1.1 400 ")
        assert json.loads(body)["status_code"] == 400

    def test_odd_escapes_in_a_path_do_no_harm(self, admin: httpx.Client) -> None:
        for path in ("/v1/users/%00", "/v1/users/%ff", "/v1/users/%F0%9F%98%80", "/v1/users/" + "x" * 65):
            assert admin.get(path).status_code in (400, 404)

    def test_every_answer_has_the_headers_of_a_careful_server(self, nobody: httpx.Client) -> None:
        for path in ("/healthz", "/v1/nothing", "/v1/ui/"):
            headers = nobody.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "server" not in headers


class TestPages:
    def test_the_root_leads_to_the_interactive_page_whose_parts_are_all_here(self, gateway: Started) -> None:
        with gateway.client(None, follow_redirects=True) as client:
            page = client.get("/")
            parts = [part.split('"')[0] for mark in ('src="', 'href="') for part in page.text.split(mark)[1:]]
            answers = {part: client.get(part).status_code for part in parts}

        assert "body { margin: 0 }" in page.text
        assert page.url.path == "/v1/ui/"
        assert answers
        assert set(answers.values()) == {200}
        assert all(part.startswith("/v1/ui/") for part in parts)
        assert "http://" not in page.text
        assert "https://" not in page.text

    def test_head_is_answered_like_get_without_a_body(self, admin: httpx.Client) -> None:
        answer = admin.head("/v1/me")

        assert (answer.status_code, answer.content) == (200, b"")
