"""Checks of everything under ``deploy/`` and of docker-compose.yml, offline: ``make check-deploy``."""
