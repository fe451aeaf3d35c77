"""Makes the key that the gateway signs with, and the public keys that all others check with.

``keys.py PRIVATE PUBLIC`` (two folders) changes nothing when it is run again. With ``--rotate`` it makes a
new key and keeps the old public one beside it, so that what was signed before still holds; with
``--retire`` it takes that one out again, when what it signed is over (docs/operations.md).
"""

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """All of it or nothing, on the disk, readable to whom ``mode`` says."""
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


def main() -> None:
    """Make what is missing."""
    rotate, retire = "--rotate" in sys.argv, "--retire" in sys.argv
    private, public = (Path(each) for each in sys.argv[1:] if not each.startswith("--"))
    signing, verify = private / "signing-key.pem", public / "verify-keys.pem"
    if rotate or not signing.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    else:
        pem = signing.read_bytes()
        key = load_pem_private_key(pem, password=None)
    mine = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    known = verify.read_bytes() if verify.exists() else b""
    if retire:
        write_whole(verify, mine, 0o444)
    elif mine not in known:
        # The newest and the one before it; older ones hold nothing that still lives.
        end = b"-----END PUBLIC KEY-----\n"
        before = known.split(end)[0] + end if known else b""
        write_whole(verify, mine + before, 0o444)
    write_whole(signing, pem, 0o400)


if __name__ == "__main__":
    main()
