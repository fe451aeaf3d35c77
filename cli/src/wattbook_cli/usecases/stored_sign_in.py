"""Using the tokens of ``wattbook login``, exchanged for fresh ones shortly before they run out."""

from __future__ import annotations

from collections.abc import Callable

from wattbook.clock import Clock, to_epoch_us

from wattbook_cli.clients.sign_ins import Bearer, sign_in
from wattbook_cli.domain.sign_ins import SignIn
from wattbook_cli.domain.stops import SignInNeeded
from wattbook_cli.store.sign_ins import SignIns

_EARLY_S = 60


def stored_sign_in(url: str, *, sign_ins: SignIns, clock: Clock) -> Bearer:
    """Be who is signed in at ``url``."""

    def fresh(is_good: Callable[[SignIn], bool]) -> str:
        # One command at a time: a refresh token counts once, and its second use is taken for a theft.
        with sign_ins.locked():
            kept = sign_ins.get(url)
            if kept is None:
                raise SignInNeeded("signed out in the meantime; `wattbook login` signs in")
            return kept.access_token if is_good(kept) else _exchange(url, kept, sign_ins, clock)

    return Bearer(
        token=lambda: fresh(lambda kept: kept.expires_at_s - _EARLY_S > now_s(clock)),
        other_than=lambda refused: fresh(lambda kept: kept.access_token != refused),
    )


def now_s(clock: Clock) -> int:
    """Whole seconds since 1970."""
    return to_epoch_us(clock.now()) // 1_000_000


def _exchange(url: str, kept: SignIn, sign_ins: SignIns, clock: Clock) -> str:
    form = {"grant_type": "refresh_token", "refresh_token": kept.refresh_token}
    try:
        newer = sign_in(url, user=kept.user, form=form, now_s=now_s(clock))
    except SignInNeeded:
        sign_ins.forget(url)
        raise SignInNeeded(f"the sign-in of {kept.user} has run out; `wattbook login` signs in") from None
    sign_ins.keep(url, newer)
    return newer.access_token
