"""``python -m sandbox.flow_files``."""

import sys

from sandbox.flow_files.app import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
