"""Writes ``.env`` (0600) from ``.env.example``, with random secrets; what it already says stays."""

import os
import re
import secrets
from pathlib import Path

SECRET = re.compile(r"(?m)^([A-Z_]+)=$")
SAID = re.compile(r"(?m)^([A-Z_]+)=(.*)$")


def main() -> None:
    """Make it, or add what is missing."""
    example, made = Path(".env.example"), Path(".env")
    said = dict(SAID.findall(made.read_text())) if made.exists() else {}
    # Letters and digits only: they stand in addresses. 32 of them are 190 bits.
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    fresh = SECRET.sub(
        lambda found: found[0] + "".join(secrets.choice(alphabet) for _ in range(32)), example.read_text()
    )
    if not said:
        content = fresh
    else:
        more = [f"{name}={value}" for name, value in SAID.findall(fresh) if name not in said]
        content = "\n".join([made.read_text().rstrip("\n"), *more, ""])
    new = Path(".env.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    new.rename(made)
    print(".env is ready (0600); ADMIN_PASSWORD in it is the first sign-in's, of the user admin")


if __name__ == "__main__":
    main()
