"""``python -m wattbook_cli`` is ``wattbook``."""

from wattbook_cli.app import main

main()
