"""What containers are told: variables that exist, secrets by reference, paths that can be written where they must."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any

import click
import pytest
import yaml

from openai_safety_otel.contract.settings import PREFIX, Settings
from openai_safety_otel.operations.cli.group import app
from stack.launches import COLLECTOR_CONFIG
from support.helm import CASES, EVERYTHING, STORES, Manifest, Rendered, component_of, dotted, merged, template

pytestmark = pytest.mark.stack

SECRETS = {PREFIX + one.name.upper() for one in fields(Settings) if one.metadata["secret"]}
# Not settings of ours: the provider's key, the collector's token; and addresses of a Redis hold its password.
SECRETS |= {"OPENAI_ADMIN_KEY", "OTLP_TOKEN", f"{PREFIX}SUSPENSIONS"}
# What our commands read beside the settings.
OTHERS = {"HOME", "OPENAI_ADMIN_KEY", "OTLP_TOKEN", "OTEL_RESOURCE_ATTRIBUTES"} | {
    f"OTEL_EXPORTER_OTLP_{name}" for name in ("ENDPOINT", "PROTOCOL", "CERTIFICATE", "HEADERS")
}


def env_of(container: Manifest) -> dict[str, Any]:
    """The variables of a container; of one by reference, where it comes from."""
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


def ours(rendered: Rendered) -> Iterator[Manifest]:
    """Containers with our own image."""
    for _, pod in rendered.pods():
        if component_of(pod) != "collector":
            yield pod["spec"]["containers"][0]


def test_each_variable_is_told_once(rendered: Rendered) -> None:
    """The last one would win without a word."""
    for _, pod in rendered.pods():
        (container,) = pod["spec"]["containers"]
        assert len(env_of(container)) == len(container["env"])


def test_our_variables_are_settings(rendered: Rendered) -> None:
    """Every name is one that the commands read."""
    known = {PREFIX + one.name.upper() for one in fields(Settings)} | OTHERS
    assert {name for one in ours(rendered) for name in env_of(one)} - known == set()


def test_secrets_come_by_reference(rendered: Rendered) -> None:
    """Nothing secret is a value; what is given of it are names of Secrets that exist before."""
    for one in ours(rendered):
        for name, value in env_of(one).items():
            if name in SECRETS or (name == f"{PREFIX}STORE" and not str(value).startswith("/")):
                assert set(value) == {"secretKeyRef"}
                assert all(value["secretKeyRef"].values())


def test_no_rendering_holds_what_looks_like_a_secret(rendered: Rendered) -> None:
    """No key, signing secret, password in an address, or token."""
    shapes = r"sk-[\w-]{8,}|whsec_[\w+/=]{8,}|\w+://[^\s/@]+:[^\s/@]+@|Bearer(?!%20\$\()\s*[\w-]{12,}"
    assert re.findall(shapes, rendered.text) == []


def test_commands_take_their_arguments(rendered: Rendered) -> None:
    """The command line that a pod runs is one that the program understands."""
    for one in ours(rendered):
        assert one["command"] == ["openai-safety"]
        verb, *arguments = [text for text in one["args"] if not text.startswith("--keys=")]
        command = app.get_command(click.Context(app), verb)
        assert command is not None
        command.make_context(verb, arguments)


def test_a_run_of_the_reconciliation_says_who_and_why() -> None:
    """As the journal demands of everybody."""
    args = template(EVERYTHING).container("reconcile")["args"]
    assert [one for one in args if one.startswith(("--by=", "--why="))] == [
        "--by=cron",
        "--why=scheduled comparison",
    ]


def test_the_reconciliation_knows_the_apps_gateway() -> None:
    """Calls that they make to it are compared like calls to the provider."""
    given = merged(EVERYTHING, dotted(reconcile__injectHosts="+llm.example.com"))
    gateway = {"name": f"{PREFIX}INJECT_HOSTS", "value": "+llm.example.com"}
    assert gateway in template(given).container("reconcile")["env"]
    assert f"{PREFIX}INJECT_HOSTS" not in env_of(template(EVERYTHING).container("reconcile"))


def test_the_journal_is_where_it_can_be_written(rendered: Rendered) -> None:
    """On a volume that outlives the pod, for a user whose group has it."""
    for _, pod in rendered.pods():
        env = env_of(pod["spec"]["containers"][0])
        store = env.get(f"{PREFIX}STORE")
        if isinstance(store, str):
            assert set(volume_at(pod["spec"], store)) == {"name", "persistentVolumeClaim"}
            assert pod["spec"]["securityContext"]["fsGroup"]
        if "HOME" in env:
            assert set(volume_at(pod["spec"], env["HOME"])) == {"name", "emptyDir"}


def volume_at(specification: Manifest, path: str) -> Manifest:
    """The volume behind a path, which must be mounted for writing."""
    (container,) = specification["containers"]
    at = PurePosixPath(path)
    (mount,) = [one for one in container["volumeMounts"] if at.is_relative_to(one["mountPath"])]
    assert not mount.get("readOnly"), mount
    found: Manifest = {"name": mount["name"], "claimTemplate": True}
    for one in specification["volumes"]:
        if one["name"] == mount["name"]:
            found = one
    return found


def test_two_pods_share_the_journal_by_one_claim() -> None:
    """A comparison and the receiver write one chain."""
    shared = template(CASES["webhooks and reconcile on one volume"])
    claims = {
        one["persistentVolumeClaim"]["claimName"]
        for name in ("webhooks", "reconcile")
        for one in shared.pod(name)["volumes"]
        if "persistentVolumeClaim" in one
    }
    assert {f"PersistentVolumeClaim/{name}" for name in claims} <= shared.names
    assert len(claims) == 1


# --- the collector


def files_of(rendered: Rendered) -> list[str]:
    """The configuration files that the collector is started with."""
    return [one.removeprefix("--config=/etc/otelcol/") for one in rendered.container("collector")["args"]]


COLLECTORS = sorted(
    name for name, values in CASES.items() if values.get("collector", {}).get("enabled", True)
)


@pytest.fixture(params=COLLECTORS)
def collected(request: pytest.FixtureRequest) -> Rendered:
    """A rendering with a collector."""
    return template(CASES[request.param])


def test_the_collectors_variables_are_read(collected: Rendered) -> None:
    """Each is in a file that it starts with, or is Go's own."""
    read = {
        name
        for file in files_of(collected)[:-1]
        for name in re.findall(r"\$\{env:([A-Z_]+)", (COLLECTOR_CONFIG / file).read_text())
    }
    assert set(env_of(collected.container("collector"))) - read - {"GOMEMLIMIT"} == set()


def test_large_numbers_stay_numbers() -> None:
    """Helm reads every number as a floating one, and would write 4 GiB with an exponent."""
    sizes = dotted(collector__settings={"QUEUE_COMPLETED_BYTES": 4_294_967_296, "TRACE_SHARE_PERCENT": 5})
    more = dotted(
        reconcile__activeDeadlineSeconds=2_592_000, collector__terminationGracePeriodSeconds=1_000_000
    )
    rendered = template(merged(EVERYTHING, sizes, more))
    env = env_of(rendered.container("collector"))
    assert (env["QUEUE_COMPLETED_BYTES"], env["TRACE_SHARE_PERCENT"]) == ("4294967296", "5")
    (job,) = rendered.of("CronJob")
    assert job["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 2_592_000
    assert rendered.pod("collector")["terminationGracePeriodSeconds"] == 1_000_000


def test_stores_in_use_are_never_a_default(collected: Rendered) -> None:
    """On a cluster nothing answers on the pod's own loopback."""
    env = env_of(collected.container("collector"))
    wanted = {
        "to-gateway.yaml": {"GATEWAY_ENDPOINT"},
        "to-kafka.yaml": {"KAFKA_BROKER", "PROMETHEUS_URL"},
    }
    files = files_of(collected)
    (used,) = [one for name, one in wanted.items() if name in files] or [{"LOKI_URL", "PROMETHEUS_URL"}]
    if "evidence.yaml" in files:
        used = used | {"EVIDENCE_LOKI_URL"}
    assert used <= set(env)
    assert [value for value in env.values() if re.search(r"127\.0\.0\.1|localhost", value)] == []


def test_extensions_of_all_files_are_switched_on(collected: Rendered) -> None:
    """A later file's list replaces an earlier one's: the chart's own, last, has them all."""
    *files, last = files_of(collected)
    assert last == "extensions.yaml"
    wanted = set()
    for file in files:
        service = yaml.safe_load((COLLECTOR_CONFIG / file).read_text()).get("service", {})
        wanted |= set(service.get("extensions", ()))
    (kept,) = [one["data"] for one in collected.of("ConfigMap") if last in one["data"]]
    assert set(yaml.safe_load(kept[last])["service"]["extensions"]) == wanted


def test_the_collectors_files_are_the_shipped_ones(collected: Rendered) -> None:
    """To the letter; but for the list of extensions, none is the chart's own."""
    kept = {
        name: text
        for one in collected.of("ConfigMap")
        if component_of(one) == "collector"
        for name, text in one["data"].items()
        if name != "extensions.yaml"
    }
    shipped = {path.name: path.read_text().strip() for path in COLLECTOR_CONFIG.rglob("*.yaml")}
    assert {name: text.strip() for name, text in kept.items()} == {name: shipped[name] for name in kept}


def test_the_queues_are_where_they_can_be_written(collected: Rendered) -> None:
    """Every queue of the configuration is on the volume, and nothing else is written."""
    specification = collected.pod("collector")
    env = env_of(collected.container("collector"))
    volume = volume_at(specification, env["QUEUE_DIR"])
    assert set(volume) & {"claimTemplate", "emptyDir", "hostPath"}
    for file in files_of(collected)[:-1]:
        extensions = yaml.safe_load((COLLECTOR_CONFIG / file).read_text()).get("extensions", {})
        written = [one["directory"] for one in extensions.values() if "directory" in one]
        assert [one for one in written if not one.startswith("${env:QUEUE_DIR")] == []


def test_a_gateways_queues_outlive_its_pods_and_a_folders_only_where_it_is_given() -> None:
    """Which kind of volume each way has."""
    kinds = {
        name: next(
            iter(set(volume_at(template(CASES[name]).pod("collector"), "/var/lib/otelcol")) - {"name"})
        )
        for name in ("gateway", "queues in memory of the pod", "daemonset", "daemonset with a folder")
    }
    assert kinds == {
        "gateway": "claimTemplate",
        "queues in memory of the pod": "emptyDir",
        "daemonset": "emptyDir",
        "daemonset with a folder": "hostPath",
    }


_BYTES = {"Mi": 2**20, "Gi": 2**30}


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * _BYTES[quantity[-2:]]


def test_volume_and_memory_suffice_for_the_configuration() -> None:
    """The volume holds twice the sum of the queues, the container half as much again as the collector takes."""
    rendered = template(merged(STORES, dotted(collector__evidence=True)))
    sizes = [
        int(size)
        for file in ("agent.yaml", "evidence.yaml")
        for size in re.findall(r"QUEUE_[A-Z]+_BYTES:-(\d+)", (COLLECTOR_CONFIG / file).read_text())
    ]
    assert len(sizes) == 5
    (workload,) = rendered.of("StatefulSet")
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert _bytes(claim["spec"]["resources"]["requests"]["storage"]) >= 2 * sum(sizes)
    container = rendered.container("collector")
    env = env_of(container)
    limit = _bytes(container["resources"]["limits"]["memory"])
    assert int(env["MEMORY_LIMIT_MIB"]) * 2**20 < int(env["GOMEMLIMIT"][:-3]) * 2**20 < limit


def test_secrets_of_the_collector_are_files_where_it_looks() -> None:
    """Certificate, token and authority: each variable names a file that a Secret puts there."""
    for name in ("everything", "agents of a gateway", "gateways behind Kafka"):
        rendered = template(CASES[name])
        specification = rendered.pod("collector")
        there = set()
        secrets = {one["name"]: one["secret"] for one in specification["volumes"] if "secret" in one}
        for mount in rendered.container("collector")["volumeMounts"]:
            for item in secrets.get(mount["name"], {}).get("items", ()):
                there.add(os.path.join(mount["mountPath"], item["path"]))  # noqa: PTH118 - a pod's path
        env = env_of(rendered.container("collector"))
        named = {value for variable, value in env.items() if variable.endswith("_FILE")}
        assert named == there != set()


def test_a_change_of_the_configuration_replaces_the_pods() -> None:
    """By a checksum of what is mounted."""
    stamps = {
        str(values): next(template(values).pods())[1]["metadata"]["annotations"]["checksum/config"]
        for values in (STORES, merged(STORES, dotted(collector__evidence=True)))
    }
    assert len(set(stamps.values())) == 2
