"""``python -m pricing_service.app``."""

from pricing_service.app import main

if __name__ == "__main__":
    main()
