"""``python -m sandbox.bank``."""

import sys

from sandbox.bank.app import main

if __name__ == "__main__":
    main(sys.argv[1:])
