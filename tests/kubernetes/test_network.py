"""What may talk to what: policies let through the ports in use, and no other; scrapes find ports that are there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from support.helm import CASES, EVERYTHING, Manifest, Rendered, component_of, dotted, merged, template

pytestmark = pytest.mark.stack

DNS = {("UDP", 53), ("TCP", 53)}
PROVIDER = {("TCP", 443)}  # and a chat's hook
REDIS = {("TCP", 6379)}
PROBED_BY_THE_KUBELET = {"health"}
NETWORKED = sorted(
    name
    for name, values in CASES.items()
    if values.get("networkPolicy", {}).get("enabled", True) and name != "nothing"
)


@pytest.fixture(params=NETWORKED)
def networked(request: pytest.FixtureRequest) -> Rendered:
    """A rendering with policies."""
    return template(CASES[request.param])


def selected(rendered: Rendered) -> Iterator[tuple[Manifest, Manifest]]:
    """Each policy with the specification of the pods that it is about."""
    for policy in rendered.of("NetworkPolicy"):
        wanted = policy["spec"]["podSelector"]["matchLabels"].items()
        (pod,) = [pod for _, pod in rendered.pods() if wanted <= pod["metadata"]["labels"].items()]
        yield policy, pod


def ports(rules: list[Manifest]) -> set[tuple[str, int]]:
    """Protocol and number of every port that rules name; a rule without ports would let everything through."""
    return {(port["protocol"], port["port"]) for rule in rules for port in rule["ports"]}


def port(address: str) -> tuple[str, int]:
    """The port of a URL or of host:port."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    return "TCP", parts.port or {"http": 80, "https": 443}[parts.scheme]


def test_every_pod_has_one_policy_for_both_directions(networked: Rendered) -> None:
    """None is left open."""
    found = [policy for policy, _ in selected(networked)]
    assert sorted(component_of(one) for one in found) == sorted(
        component_of(pod) for _, pod in networked.pods()
    )
    assert {tuple(one["spec"]["policyTypes"]) for one in found} == {("Ingress", "Egress")}


def test_what_listens_is_let_in_and_nothing_else(networked: Rendered) -> None:
    """Every port of the container but the health check, which the kubelet asks from the node."""
    for policy, pod in selected(networked):
        (container,) = pod["spec"]["containers"]
        listening = {
            (one["protocol"], one["containerPort"])
            for one in container.get("ports", ())
            if one["name"] not in PROBED_BY_THE_KUBELET
        }
        assert ports(policy["spec"].get("ingress", [])) == listening
        assert all(rule["from"] for rule in policy["spec"].get("ingress", ()))


def test_what_is_reached_is_let_out_and_nothing_else(networked: Rendered) -> None:
    """The ports of the addresses that the container is told, DNS, and for ours the provider and Redis."""
    for policy, pod in selected(networked):
        (container,) = pod["spec"]["containers"]
        env = {one["name"]: one.get("value") for one in container["env"]}
        told = {
            name: value
            for name, value in env.items()
            if value and re.search(r"(_URL|_ENDPOINT|_BROKER)$", name) and name not in unused(container)
        }
        wanted = DNS | {port(value) for value in told.values()}
        if component_of(pod) != "collector":
            wanted |= PROVIDER | (REDIS if env.get("OPENAI_SAFETY_STORE", "") is None else set())
        assert ports(policy["spec"]["egress"]) == wanted


def unused(container: Manifest) -> set[str]:
    """Stores that another file puts a gateway or Kafka in place of."""
    files = " ".join(container.get("args", ()))
    if "to-gateway.yaml" in files:
        return {"LOKI_URL", "PROMETHEUS_URL", "TEMPO_ENDPOINT", "KAFKA_BROKER"}
    return {"LOKI_URL", "TEMPO_ENDPOINT"} if "to-kafka.yaml" in files else set()


def test_who_may_come_is_a_value() -> None:
    """Senders, scrapers and the ingress controller, each for its ports."""
    peers = {
        name: [{"podSelector": {"matchLabels": {"is": name}}}] for name in ("otlp", "metrics", "webhooks")
    }
    rendered = template(
        merged(EVERYTHING, dotted(networkPolicy={f"{name}From": one for name, one in peers.items()}))
    )
    found = {
        rule["ports"][0]["port"]: rule["from"]
        for policy, _ in selected(rendered)
        for rule in policy["spec"].get("ingress", ())
    }
    assert found == {4317: peers["otlp"], 8888: peers["metrics"], 8787: peers["webhooks"]}


def test_ports_behind_a_service_can_be_added() -> None:
    """A policy sees the pod's port, which a Service may translate."""
    more = template(merged(EVERYTHING, dotted(networkPolicy__egressPorts=[8080])))
    before = {
        component_of(one): ports(one["spec"]["egress"]) for one in template(EVERYTHING).of("NetworkPolicy")
    }
    after = {component_of(one): ports(one["spec"]["egress"]) for one in more.of("NetworkPolicy")}
    assert after == {name: found | {("TCP", 8080)} for name, found in before.items()}


def test_a_port_is_let_out_once() -> None:
    """Whether an address or a value names it."""
    rendered = template(merged(EVERYTHING, dotted(networkPolicy__egressPorts=[443, 4318, 6379])))
    rules = {component_of(one): one["spec"]["egress"][1]["ports"] for one in rendered.of("NetworkPolicy")}
    numbers = {name: sorted(one["port"] for one in rule) for name, rule in rules.items()}
    assert numbers["webhooks"] == [443, 4318, 6379]


def test_the_scrape_finds_one_service_and_its_ports() -> None:
    """Or every sample would be there twice, or not at all."""
    rendered = template(merged(EVERYTHING, dotted(serviceMonitor__labels={"release": "prometheus"})))
    (monitor,) = rendered.of("ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [one for one in rendered.of("Service") if wanted <= one["metadata"]["labels"].items()]
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": [service["metadata"]["namespace"]]}
    assert [one["port"] for one in monitor["spec"]["endpoints"]] == ["metrics", "scores"]
    assert {one["port"] for one in monitor["spec"]["endpoints"]} == {
        one["name"] for one in service["spec"]["ports"]
    }
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


@pytest.mark.parametrize("name", ["agents of a gateway", "agents before Kafka"])
def test_scores_are_scraped_at_the_last_collector_only(name: str) -> None:
    """An agent before it derives them, too: both would count twice."""
    rendered = template(merged(CASES[name], dotted(serviceMonitor__enabled=True)))
    (monitor,) = rendered.of("ServiceMonitor")
    assert [one["port"] for one in monitor["spec"]["endpoints"]] == ["metrics"]
    assert "scores" not in rendered.text.replace("\n", " ").split("kind: Service ")[1]


def test_the_ingress_leads_one_path_to_the_receiver_over_tls() -> None:
    """Its Service and port are there, and nothing else is public."""
    rendered = template(EVERYTHING)
    (ingress,) = rendered.of("Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/openai", "Exact")
    backend = path["backend"]["service"]
    (service,) = [one for one in rendered.of("Service") if one["metadata"]["name"] == backend["name"]]
    assert backend["port"]["name"] in {one["name"] for one in service["spec"]["ports"]}
    assert ingress["spec"]["tls"] == [{"hosts": [rule["host"]], "secretName": "hooks-tls"}]


def test_a_node_keeps_its_traffic() -> None:
    """The Service of a daemonset leads to the collector of the app's own node."""
    policies = {
        name: [
            one["spec"].get("internalTrafficPolicy")
            for one in template(CASES[name]).of("Service")
            if component_of(one) == "collector"
        ]
        for name in ("gateway", "daemonset")
    }
    assert policies == {"gateway": [None], "daemonset": ["Local"]}
