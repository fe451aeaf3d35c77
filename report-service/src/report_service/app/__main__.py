"""``python -m report_service.app``."""

from report_service.app import main

if __name__ == "__main__":
    main()
