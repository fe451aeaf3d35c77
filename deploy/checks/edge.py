"""Behind the edge: who is believed when it says for whom it asks, and that nobody else can say so.

And live pages, which are one answer that goes on, are not cut off.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from deploy.checks.manifests import Doc, Pods, Rendered, at, named, selects
from deploy.checks.told import image_of, known

PROXIES = "WATTBOOK_TRUSTED_PROXIES"
PAGES = "report-pages"
WIDEST = 8  # bits; what is wider is no cluster's own network


def problems(rendered: Rendered) -> Iterator[str]:
    """A line each."""
    yield from _cut_off(rendered)
    behind_edge = {pods.name for pods in _behind_edge(rendered)}
    for pods in rendered.ours():
        if PROXIES not in known().get(image_of(pods), {}):
            continue
        said = str(rendered.settings(pods.containers[0]).get(PROXIES, ""))
        if not said and pods.name in behind_edge:
            yield f"{named(pods.doc)}: is behind the edge and told no {PROXIES}: all browsers are one"
        for network in filter(None, map(str.strip, said.split(","))):
            yield from (f"{named(pods.doc)}: {problem}" for problem in _network(network))
        if said:
            yield from _callers(rendered, pods)


def _cut_off(rendered: Rendered) -> Iterator[str]:
    for doc in rendered.of("HTTPRoute"):
        for rule in at(doc, "spec", "rules", default=()):
            to_pages = any(back["name"] == PAGES for back in rule.get("backendRefs", ()))
            said = at(rule, "timeouts", "request")
            if to_pages and said != "0s":  # what the edge does where nothing is said is its own affair
                yield f"{named(doc)}: cuts live pages off, with a timeout of {said}"


def _behind_edge(rendered: Rendered) -> Iterator[Pods]:
    services = rendered.services()
    for doc in rendered.of("HTTPRoute"):
        for rule in at(doc, "spec", "rules", default=()):
            for back in rule.get("backendRefs", ()):
                yield from services.get(back["name"], {}).get(back.get("port"), ())


def _network(text: str) -> Iterator[str]:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        yield f"{PROXIES}: {text} is no network"
        return
    if not network.is_private or network.prefixlen < WIDEST:
        yield f"{PROXIES}: {text} is wider than any network of ours"


def _callers(rendered: Rendered, pods: Pods) -> Iterator[str]:
    for doc in rendered.of("NetworkPolicy"):
        if not selects(at(doc, "spec", "podSelector", default={}), pods.labels):
            continue
        for rule in at(doc, "spec", "ingress", default=()):
            if not all(map(_is_named, rule.get("from", ()))) or not rule.get("from"):
                yield f"{named(pods.doc)}: believes its callers, but {named(doc)} lets anybody be one"


def _is_named(peer: Doc) -> bool:
    """Whether it is pods or a namespace of certain labels; addresses can be anybody's."""
    selectors = [peer[each] for each in ("podSelector", "namespaceSelector") if each in peer]
    return "ipBlock" not in peer and any(map(bool, selectors))
