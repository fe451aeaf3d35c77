"""TLS inside the walls: gRPC over certificates of the desk's own authority, where they are configured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from wattbook.walls import WallSettings


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of TLS inside the walls: who is trusted and, as a server, who we are."""

    ca_file: Path
    cert_file: Path | None = None
    key_file: Path | None = None

    @classmethod
    def of(cls, settings: WallSettings) -> Tls | None:
        """As the settings say; None: plain text, which is for one machine only.

        Raises:
            ValueError: one of the files is named without what it needs, or cannot be read.
        """
        named = (settings.grpc_ca_file, settings.grpc_cert_file, settings.grpc_key_file)
        if settings.grpc_ca_file is None:
            if any(named):
                raise ValueError("WATTBOOK_GRPC_CA_FILE is not set, but its certificate or key is")
            return None
        try:
            for path in filter(None, named):
                path.read_bytes()
        except OSError as error:
            raise ValueError(f"a WATTBOOK_GRPC_ file: {error.filename}: {error.strerror}") from None
        return cls(settings.grpc_ca_file, settings.grpc_cert_file, settings.grpc_key_file)

    def for_server(self) -> grpc.ServerCredentials:
        """A server's side; a renewed certificate is used from the next connection on.

        Raises:
            OSError: a file cannot be read.
        """
        if self.cert_file is None or self.key_file is None:
            raise OSError("a gRPC server with TLS needs WATTBOOK_GRPC_CERT_FILE and WATTBOOK_GRPC_KEY_FILE")
        return grpc.dynamic_ssl_server_credentials(self._certificate(), self._certificate)

    def for_client(self) -> grpc.ChannelCredentials:
        """A client's side."""
        return grpc.ssl_channel_credentials(self.ca_file.read_bytes())

    def _certificate(self) -> grpc.ServerCertificateConfiguration:
        assert self.cert_file is not None
        assert self.key_file is not None
        pair = (self.key_file.read_bytes(), self.cert_file.read_bytes())
        return grpc.ssl_server_certificate_configuration([pair])
