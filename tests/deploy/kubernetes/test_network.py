"""Who reaches whom, by the rules of NetworkPolicy over the policies as they are rendered."""

from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import pytest

from tests.deploy.kubernetes.rendered import OVERLAYS, TOGETHER, Object, config, overlay, together


class Peer(NamedTuple):
    """One end of a connection: a pod of our namespace by its labels, or what has an address."""

    labels: dict[str, str]
    address: str = ""


API, WORKER, REDIS = (Peer({"app": name}) for name in ("api", "worker", "redis"))
PROXY = Peer({"gateway.networking.k8s.io/gateway-name": "meet-transcriber"})
STRANGER = Peer({"app": "another"})
WORLD, WORLD6 = Peer({}, "203.0.113.7"), Peer({}, "2001:db8::7")
NODES_IDENTITY = [Peer({}, x) for x in ("169.254.169.254", "fd00:ec2::254", "fd20:ce::254")]


@pytest.fixture(params=["base", *OVERLAYS, *TOGETHER], ids=str)
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    wanted = request.param
    return overlay(wanted) if isinstance(wanted, str) else together(wanted)


def reaches(found: list[Object], source: Peer, target: Peer, port: int, protocol: str) -> bool:
    """Whether a connection is let out of its source and into its target."""
    policies = [x["spec"] for x in found if x["kind"] == "NetworkPolicy"]
    return _lets(policies, "Egress", source, target, port, protocol) and _lets(
        policies, "Ingress", target, source, port, protocol
    )


def _lets(policies: list[Any], way: str, own: Peer, other: Peer, port: int, protocol: str) -> bool:
    """One end's part; no policy of ours holds for what is outside."""
    if own.address:
        return True
    mine = [x for x in policies if way in x["policyTypes"] and _selects(x["podSelector"], own)]
    rules = [rule for policy in mine for rule in policy.get(way.lower(), ())]
    side = {"Egress": "to", "Ingress": "from"}[way]
    return not mine or any(
        _ported(rule, port, protocol) and (side not in rule or _fits(rule[side], other))
        for rule in rules
    )


def _ported(rule: Any, port: int, protocol: str) -> bool:
    known = [(x["port"], x.get("protocol", "TCP")) for x in rule.get("ports", ())]
    return not known or (port, protocol) in known


def _fits(peers: list[Any], other: Peer) -> bool:
    return any(
        _within(x["ipBlock"], other.address)
        if "ipBlock" in x
        else not other.address and _selects(x["podSelector"], other)
        for x in peers
    )


def _within(block: Any, address: str) -> bool:
    if not address:
        return False
    inside = [
        ip_address(address) in ip_network(x) for x in (block["cidr"], *block.get("except", ()))
    ]
    return inside[0] and not any(inside[1:])


def _selects(selector: Any, peer: Peer) -> bool:
    wanted = [(key, [value]) for key, value in selector.get("matchLabels", {}).items()]
    wanted += [(x["key"], x["values"]) for x in selector.get("matchExpressions", ())]
    return all(peer.labels.get(key) in values for key, values in wanted)


def test_what_has_to_work_is_let_through(rendered: list[Object]) -> None:
    for source in (API, WORKER):
        assert reaches(rendered, source, REDIS, 6379, "TCP")
        for protocol in ("UDP", "TCP"):
            assert reaches(rendered, source, WORLD, 53, protocol)
        for outside in (WORLD, WORLD6):  # buckets, weights, webhooks
            assert reaches(rendered, source, outside, 443, "TCP")
    for source in (
        WORLD,
        STRANGER._replace(labels={}, address="10.4.0.9"),
    ):  # KEDA, Prometheus, probes
        assert reaches(rendered, source, API, 8000, "TCP")


def test_redis_is_reached_by_api_and_worker_alone_and_reaches_nobody(
    rendered: list[Object],
) -> None:
    for source in (STRANGER, PROXY, REDIS, WORLD):
        assert not reaches(rendered, source, REDIS, 6379, "TCP")
    for source in (API, WORKER):
        assert not reaches(rendered, source, REDIS, 22, "TCP")
    for target in (WORLD, API, WORKER):
        assert not reaches(rendered, REDIS, target, 443, "TCP")


def test_nobody_reaches_a_worker_and_nothing_else_lives_here(rendered: list[Object]) -> None:
    for source in (API, STRANGER, WORLD):
        assert not reaches(rendered, source, WORKER, 8000, "TCP")
    assert not reaches(rendered, STRANGER, WORLD, 443, "TCP")
    assert not reaches(rendered, WORLD, API, 22, "TCP")


def test_only_where_it_is_the_identity_of_pods_the_nodes_own_is_reached(
    rendered: list[Object],
) -> None:
    theirs = config(rendered)["MEDIA_URL"].startswith("gs://")
    for source in (API, WORKER):
        let = [reaches(rendered, source, x, 80, "TCP") for x in NODES_IDENTITY]
        assert let == [theirs, False, False]


def test_a_gateway_that_runs_here_takes_requests_and_hands_them_on() -> None:
    found = overlay("gateway")
    assert reaches(found, WORLD, PROXY, 443, "TCP")
    assert reaches(found, PROXY, API, 8000, "TCP")
    assert not reaches(overlay("base"), WORLD, PROXY, 443, "TCP")
