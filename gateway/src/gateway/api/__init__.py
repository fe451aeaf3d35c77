"""Who calls us: HTTP. Routed and secured by connexion from the documents in ``openapi/``; one error shape."""

from gateway.api.application import Live, Services, make_application, make_probes

__all__ = ["Live", "Services", "make_application", "make_probes"]
