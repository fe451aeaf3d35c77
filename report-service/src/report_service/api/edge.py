"""WSGI before all else: whom a request is from, and whether over TLS, as proxies say that are believed."""

from __future__ import annotations

from collections.abc import Iterable

from wattbook.proxies import TrustedProxies

from report_service.api.recent import Application, Environ, StartResponse

_SCHEMES = frozenset({"http", "https"})


class Edge:
    """Puts the browser's address and scheme in the place of the proxy's; strangers change neither."""

    def __init__(self, application: Application, *, proxies: TrustedProxies) -> None:
        """In front of ``application``."""
        self._application = application
        self._proxies = proxies

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        peer = environ.get("REMOTE_ADDR", "")
        if self._proxies.trusts(peer):
            forwarded = environ.get("HTTP_X_FORWARDED_FOR", "")
            environ["REMOTE_ADDR"] = self._proxies.client_of(peer, forwarded)
            said = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
            if said in _SCHEMES:
                environ["wsgi.url_scheme"] = said
        return self._application(environ, start_response)
