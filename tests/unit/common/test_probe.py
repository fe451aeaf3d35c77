"""What a container asks itself: over real servers, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from wattbook import rpc
from wattbook.probe import is_well, main
from wattbook.walls import OPEN


@pytest.fixture
def server() -> Iterator[tuple[rpc.Server, str]]:
    made = rpc.Server("127.0.0.1:0", guard=OPEN, workers=2)
    yield made, f"127.0.0.1:{made.start()}"
    made.stop(0.5)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def pages() -> Iterator[str]:
    http = HTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def test_a_process_is_live_before_it_is_ready_and_stays_so(server: tuple[rpc.Server, str]) -> None:
    serving, target = server

    starting = is_well(f"grpc://{target}/live"), is_well(f"grpc://{target}")
    serving.set_ready()
    ready = is_well(f"grpc://{target}/live"), is_well(f"grpc://{target}")
    serving.set_ready(False)
    cut_off = is_well(f"grpc://{target}/live"), is_well(f"grpc://{target}")

    assert (starting, ready, cut_off) == ((True, False), (True, True), (True, False))


def test_a_name_that_nobody_serves_is_not_well(server: tuple[rpc.Server, str]) -> None:
    server[0].set_ready()

    assert not is_well(f"grpc://{server[1]}/nobody")


def test_nobody_there_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert not is_well(f"grpc://127.0.0.1:{port}/live", timeout_s=0.5)
    assert not is_well(f"http://127.0.0.1:{port}/", timeout_s=0.5)


def test_a_page_is_well_with_status_200_only(pages: str) -> None:
    assert is_well(f"{pages}/readyz")
    assert not is_well(f"{pages}/elsewhere")


def test_tls_is_spoken_and_an_expired_certificate_does_not_matter(
    server: tuple[rpc.Server, str], expired: tuple[str, str]
) -> None:
    server[0].set_ready()
    host, _, port = server[1].rpartition(":")

    with tls_in_front(expired, host, int(port)) as secured:
        assert is_well(f"grpcs://127.0.0.1:{secured}/live")
        assert not is_well(f"grpc://127.0.0.1:{secured}/live", timeout_s=1)


def test_the_command_says_which_address_is_not_well(
    server: tuple[rpc.Server, str], pages: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server[0].set_ready()
    good, bad = f"grpc://{server[1]}/live", f"{pages}/elsewhere"

    assert main([good, f"{pages}/readyz"]) == 0
    assert main([good, bad]) == 1
    assert capsys.readouterr().out == f"probe: {bad} is not well\n"


@pytest.mark.parametrize("address", ["127.0.0.1:80", "ftp://127.0.0.1:1", "grpc://127.0.0.1", "http://:80/"])
def test_an_address_of_no_known_kind_is_refused(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([address]) == 1
    assert address in capsys.readouterr().err


def test_it_loads_no_library_beyond_pythons_own() -> None:
    script = "import sys, wattbook.probe; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert not {name.split(".")[0] for name in loaded.split()} & {"grpc", "google", "sqlalchemy"}


@pytest.fixture(scope="module")
def expired(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Files of a certificate that ran out, and of its key."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody-else")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 2, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "tls.crt", folder / "tls.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return str(cert_file), str(key_file)


class tls_in_front:  # noqa: N801  # reads like the function that it is
    """Unwraps TLS in front of a plain port, for the length of the block; the value is its own port."""

    def __init__(self, files: tuple[str, str], host: str, port: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*files)
        self._context.set_alpn_protocols(["h2"])
        self._to = (host, port)

    def __enter__(self) -> int:
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            try:
                outer = self._context.wrap_socket(client, server_side=True)
            except OSError:
                client.close()
                continue
            inner = socket.create_connection(self._to)
            for source, sink in ((outer, inner), (inner, outer)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()
