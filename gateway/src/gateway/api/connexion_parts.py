"""The parts of connexion that the gateway is built of."""

import warnings

with warnings.catch_warnings():  # connexion loads starlette's test client, which warns about itself
    warnings.simplefilter("ignore")
    from connexion import AsyncApp
    from connexion.middleware.abstract import ROUTING_CONTEXT, RoutedAPI
    from connexion.middleware.lifespan import LifespanMiddleware
    from connexion.middleware.routing import RoutingAPI, RoutingMiddleware
    from connexion.middleware.security import SecurityMiddleware
    from connexion.operations import AbstractOperation
    from connexion.resolver import Resolver
    from connexion.security import NO_VALUE, AbstractSecurityHandler

__all__ = [
    "NO_VALUE",
    "ROUTING_CONTEXT",
    "AbstractOperation",
    "AbstractSecurityHandler",
    "AsyncApp",
    "LifespanMiddleware",
    "Resolver",
    "RoutedAPI",
    "RoutingAPI",
    "RoutingMiddleware",
    "SecurityMiddleware",
]
