"""``python -m sandbox.exchange``."""

from sandbox.exchange.app import main

if __name__ == "__main__":
    main()
