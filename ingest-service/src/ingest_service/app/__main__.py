"""``python -m ingest_service.app``."""

from ingest_service.app import main

if __name__ == "__main__":
    main()
