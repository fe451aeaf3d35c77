"""``python -m sandbox.market_data``."""

from sandbox.market_data.app import main

if __name__ == "__main__":
    main()
