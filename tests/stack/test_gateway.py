from __future__ import annotations

import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import query, traffic
from stack.launches import create_topic
from stack.programs import Running, running
from support.stored import EQUAL, difference, said

Collector = Callable[..., Running]
# Six messages of 800 kB, about 700 events each: what the agent's consumers have under way when a broker dies, and
# more than a gateway reads between two commits of its offsets.
MESSAGES_IN_FLIGHT = 6 * 700
TOPICS = {"otlp_safety": 2, "otlp_completed": 2, "otlp_spans": 2}


@dataclass(frozen=True)
class Credentials:
    """Files of one gateway: its certificate, its authority, its token."""

    environment: dict[str, str]
    authority: Path
    token: str


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    folder = tmp_path_factory.mktemp("tls")
    names = ["-subj", "/CN=gateway", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    (folder / "token").write_text("a-token-of-this-test-run\n")
    environment = {
        "GATEWAY_LISTEN": "127.0.0.1",
        "GATEWAY_CERT_FILE": str(folder / "tls.crt"),
        "GATEWAY_KEY_FILE": str(folder / "tls.key"),
        "GATEWAY_CA_FILE": str(folder / "tls.crt"),
        "GATEWAY_TOKEN_FILE": str(folder / "token"),
    }
    return Credentials(environment, folder / "tls.crt", "a-token-of-this-test-run")


@pytest.fixture
def gateway(collector: Collector, loki: Running, prometheus: Running, credentials: Credentials) -> Running:
    env = {"LOKI_URL": loki.url, "PROMETHEUS_URL": prometheus.url, **credentials.environment}
    return collector("agent.yaml", "gateway.yaml", env=env)


@pytest.fixture(scope="module")
def kafka() -> Iterator[Running]:
    with running("kafka") as broker:
        for topic, partitions in TOPICS.items():
            create_topic(broker.url, topic, partitions)
        yield broker


def _post(
    gateway: Running, payload: dict[str, object], *, scheme: str, headers: dict[str, str], authority: Path
) -> str:
    url = f"{scheme}://127.0.0.1:{gateway.ports['http']}/v1/logs"
    request = urllib.request.Request(
        url, json.dumps(payload).encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(
            request, timeout=10, context=ssl.create_default_context(cafile=authority)
        ) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code)
    except OSError as error:
        return type(error).__name__


def test_gateway_takes_nothing_without_tls_and_token(
    gateway: Running, loki: Running, credentials: Credentials, service: str
) -> None:
    """Plain HTTP, no token and a wrong token are refused and leave nothing in the store; the right one is accepted."""
    payload = traffic.logs_request(service, [traffic.call(1, outcome="blocked")])
    right = {"Authorization": f"Bearer {credentials.token}"}
    attempts = {
        "plain": ("http", right),
        "no token": ("https", {}),
        "wrong token": ("https", {"Authorization": "Bearer guess"}),
        "right": ("https", right),
    }
    answers = {
        name: _post(gateway, payload, scheme=scheme, headers=headers, authority=credentials.authority)
        for name, (scheme, headers) in attempts.items()
        if name != "right"
    }
    assert answers == {"plain": "400", "no token": "401", "wrong token": "401"}
    assert query.calls_by_identifier(loki.url, service) == {}
    scheme, headers = attempts["right"]
    assert _post(gateway, payload, scheme=scheme, headers=headers, authority=credentials.authority) == "200"
    assert query.until(lambda: sum(query.calls_by_identifier(loki.url, service).values()) == 1)


def test_agent_to_gateway(
    collector: Collector, gateway: Running, loki: Running, credentials: Credentials, service: str
) -> None:
    """Events pass from an agent over TLS with the token through the gateway; the gateway dies once on the way."""
    env = {"GATEWAY_ENDPOINT": f"127.0.0.1:{gateway.ports['grpc']}", **credentials.environment}
    agent = collector("agent.yaml", "to-gateway.yaml", env=env)
    with traffic.Load(agent.url, service) as load:
        time.sleep(1)
        gateway.kill()
        time.sleep(1)
        gateway.start()
        time.sleep(1)
    assert query.until(lambda: query.calls_by_identifier(loki.url, service) == load.ledger.calls), agent.log[
        -3000:
    ]


@pytest.fixture
def fleet(
    collector: Collector,
    kafka: Running,
    loki: Running,
    prometheus: Running,
    credentials: Credentials,
    tmp_path: Path,
) -> tuple[Running, Running]:
    """An agent that writes to Kafka, and a gateway that reads from it."""
    stores = {"LOKI_URL": loki.url, "PROMETHEUS_URL": prometheus.url, "KAFKA_BROKER": kafka.url}
    traces = {"TRACES_FILE": str(tmp_path / "traces.jsonl"), "TRACE_SHARE_PERCENT": "0"}
    gateway = collector(
        "agent.yaml",
        "gateway.yaml",
        "from-kafka.yaml",
        "traces-to-file.yaml",
        env=stores | traces | credentials.environment,
    )
    return collector("agent.yaml", "to-kafka.yaml", env=stores), gateway


def test_kafka_broker_restarts(
    fleet: tuple[Running, Running], kafka: Running, loki: Running, service: str
) -> None:
    """The broker is killed under load and comes back; agent and gateway carry on, and the ledger is in Loki."""
    agent, gateway = fleet
    with traffic.Load(agent.url, service) as load:
        time.sleep(2)
        kafka.kill()
        time.sleep(2)
        kafka.start()
        time.sleep(1)
    assert load.ledger.repeated == 0
    assert EQUAL == difference(loki, service, load.ledger), (said(agent), said(gateway))
    assert query.distinct_calls(loki.url, service)[1] <= MESSAGES_IN_FLIGHT


def test_gateway_killed(fleet: tuple[Running, Running], loki: Running, service: str) -> None:
    """A gateway killed with -9 repeats what it had not committed, a few seconds' worth at most; nothing is lost."""
    agent, gateway = fleet
    with traffic.Load(agent.url, service) as load:
        time.sleep(2)
        gateway.kill()
        gateway.start()
        time.sleep(1)
    assert EQUAL == difference(loki, service, load.ledger), (said(agent), said(gateway))
    assert query.distinct_calls(loki.url, service)[1] <= MESSAGES_IN_FLIGHT
