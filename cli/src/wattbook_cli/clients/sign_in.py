"""One sign-in, with the standard library alone: the supervisor's only HTTP call."""

from __future__ import annotations

import http.client
from urllib.parse import urlencode, urlsplit

_TIMEOUT_S = 10.0


def can_sign_in(gateway_url: str, *, user: str, password: str) -> bool | None:
    """Whether the gateway takes this password; ``None`` where it says neither yes nor no."""
    address = urlsplit(gateway_url)
    form = urlencode({"grant_type": "password", "username": user, "password": password})
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_TIMEOUT_S)
    try:
        connection.request(
            "POST", "/v1/oauth/token", form, {"Content-Type": "application/x-www-form-urlencoded"}
        )
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if status == http.client.OK:
        return True
    return False if status in {http.client.BAD_REQUEST, http.client.UNAUTHORIZED} else None
