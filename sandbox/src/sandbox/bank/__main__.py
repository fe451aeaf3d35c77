"""``python -m sandbox.bank``."""

from sandbox.bank.app import main

if __name__ == "__main__":
    main()
