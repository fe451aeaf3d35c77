"""The data folder: made where missing, writable, with the secrets of this desk."""

from __future__ import annotations

import secrets as random_secrets
import tempfile
from collections.abc import Callable
from pathlib import Path

from wattbook.services import services

from wattbook_cli.domain.desk import Layout, Secrets
from wattbook_cli.domain.stops import Stop
from wattbook_cli.store.files import PRIVATE_FILE, PRIVATE_FOLDER, tighten, write_whole

# No letters that are read as others: 20 of 32 signs are 100 bits.
_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
_PENDING = "admin-password.pending"
_SETTLED = "admin-password.settled"


def make_folder(layout: Layout) -> None:
    """Make every folder there is to be and try to write into each.

    Raises:
        Stop: that is not possible, with the folder's name and the reason.
    """
    if "?" in str(layout.data):
        raise Stop(f"a data folder's name cannot hold a question mark: {layout.data}")
    folder = layout.data
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for folder in (layout.data, *layout.private, *layout.shared):
            private = folder in layout.private
            folder.mkdir(mode=PRIVATE_FOLDER if private else 0o777, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            if private:
                tighten(folder, PRIVATE_FOLDER)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Stop(f"cannot write to the data folder {folder}: {reason}; --data names another one") from None


def load_secrets(layout: Layout, *, admin_password: str) -> Secrets:
    """The desk's secrets, made where missing.

    Raises:
        Stop: one cannot be read or written.
    """
    try:
        return Secrets(
            signing_key_file=_signing_key(layout.secrets / "signing-key.pem"),
            session_key=_kept(layout.secrets / "session-key", random_secrets.token_urlsafe),
            verify_keys_file=_public_key(layout.secrets),
            client_secrets={
                each.short: _kept(
                    layout.secrets / f"{each.short}-client-secret", random_secrets.token_urlsafe
                )
                for each in services().values()
                if each.is_client
            },
            admin_password=admin_password,
            admin_if_new="" if admin_password else _candidate(layout),
        )
    except OSError as error:
        raise Stop(f"cannot keep the secrets: {error.filename}: {error.strerror or error}") from None


def settle_admin_password(layout: Layout) -> None:
    """Remember that the first user's password is set and was told, and forget what it was."""
    write_whole(layout.secrets / _SETTLED, b"The admin's password is set. Only its hash is kept.\n")
    (layout.secrets / _PENDING).unlink(missing_ok=True)


def new_password() -> str:
    """A password to read out: four groups of five signs."""
    groups = ("".join(random_secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def _candidate(layout: Layout) -> str:
    """The first user's password while it is not settled; kept, so that a start cut short loses nothing."""
    if (layout.secrets / _SETTLED).exists():
        return ""
    return _kept(layout.secrets / _PENDING, new_password)


def _kept(path: Path, make: Callable[[], str]) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        content = ""
    if not content:
        content = make()
        write_whole(path, f"{content}\n".encode())
    tighten(path, PRIVATE_FILE)
    return content


def _signing_key(path: Path) -> Path:
    _kept(path, _new_signing_key)
    return path


def _public_key(secrets: Path) -> Path:
    """What the owners check passes with, made from the signing key."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    key = load_pem_private_key(_signing_key(secrets / "signing-key.pem").read_bytes(), password=None)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    path = secrets / "verify-keys.pem"
    if not path.exists() or path.read_bytes() != pem:
        write_whole(path, pem)
    return path


def _new_signing_key() -> str:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
