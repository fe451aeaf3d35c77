"""``python -m gateway.app``."""

import sys

from gateway.app import main

if __name__ == "__main__":
    sys.exit(main())
