"""Each value switches its objects on and off, and what cannot work is refused with one line that says why."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helm import (
    CASES,
    CHART,
    EVERYTHING,
    NOTHING,
    ROOT,
    STORES,
    Rendered,
    Values,
    dotted,
    helm,
    merged,
    refused,
    template,
)

pytestmark = pytest.mark.stack

NAME = "demo-openai-safety"
_WEBHOOKS = dotted(
    webhooks__enabled=True,
    webhooks__signingSecret__secretName="s",
    image__repository="registry.example.com/ours",
)
_RECONCILE = dotted(
    reconcile__enabled=True,
    reconcile__adminKey__secretName="s",
    reconcile__lokiUrl="http://loki",
    image__repository="registry.example.com/ours",
)
_COLLECTOR = merged(STORES, NOTHING, dotted(collector__enabled=True))
_BOARDS = {
    f"ConfigMap/{NAME}-dashboard-{name}" for name in ("identifier", "moderation", "overview", "pipeline")
}

# What is there before, what a value adds, and which objects come with it.
SWITCHES: dict[str, tuple[Values, Values, set[str]]] = {
    "collector.enabled": (
        NOTHING,
        _COLLECTOR,
        {
            f"ConfigMap/{NAME}-collector",
            f"ConfigMap/{NAME}-collector-events",
            f"ConfigMap/{NAME}-collector-spans",
            f"Service/{NAME}-collector",
            f"Service/{NAME}-collector-metrics",
            f"StatefulSet/{NAME}-collector",
        },
    ),
    "collector.evidence": (
        _COLLECTOR,
        dotted(collector__evidence=True),
        {f"ConfigMap/{NAME}-collector-evidence"},
    ),
    "webhooks.enabled": (
        NOTHING,
        _WEBHOOKS,
        {f"PersistentVolumeClaim/{NAME}-store", f"Service/{NAME}-webhooks", f"StatefulSet/{NAME}-webhooks"},
    ),
    "webhooks.ingress.enabled": (
        merged(NOTHING, _WEBHOOKS),
        dotted(webhooks__ingress={"enabled": True, "host": "hooks.example.com", "tlsSecretName": "tls"}),
        {f"Ingress/{NAME}-webhooks"},
    ),
    "reconcile.enabled": (
        NOTHING,
        _RECONCILE,
        {f"PersistentVolumeClaim/{NAME}-store", f"CronJob/{NAME}-reconcile"},
    ),
    "serviceAccount.create": (
        _COLLECTOR,
        dotted(serviceAccount__create=True),
        {f"ServiceAccount/{NAME}"},
    ),
    "prometheusRule.enabled": (
        NOTHING,
        dotted(prometheusRule__enabled=True),
        {f"PrometheusRule/{NAME}-rules"},
    ),
    "serviceMonitor.enabled": (
        _COLLECTOR,
        dotted(serviceMonitor__enabled=True),
        {f"ServiceMonitor/{NAME}-collector"},
    ),
    "lokiRules.enabled": (NOTHING, dotted(lokiRules__enabled=True), {f"ConfigMap/{NAME}-loki-rules"}),
    "dashboards.enabled": (NOTHING, dotted(dashboards__enabled=True), _BOARDS),
    "networkPolicy.enabled": (
        merged(_COLLECTOR, _WEBHOOKS, _RECONCILE),
        dotted(networkPolicy__enabled=True),
        {f"NetworkPolicy/{NAME}-{name}" for name in ("collector", "webhooks", "reconcile")},
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_value_switches_its_objects(name: str) -> None:
    """Off, they are not there; on, exactly they come."""
    before, change, objects = SWITCHES[name]
    without, having = template(before), template(merged(before, change))
    assert (having.names - without.names, without.names - having.names) == (objects, set())


def _switches(values: Any, path: str = "") -> list[str]:
    if isinstance(values, bool) and path.rpartition(".")[2] in {"enabled", "create"}:
        return [path]
    inner = values.items() if isinstance(values, dict) else ()
    return [found for name, one in inner for found in _switches(one, f"{path}.{name}".lstrip("."))]


def test_every_switch_is_tried() -> None:
    """But for `secure`, which changes objects and makes none."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(_switches(values)) - {"collector.secure.enabled"} == set(SWITCHES) - {"collector.evidence"}


def test_nothing_is_nothing() -> None:
    """With everything off there is no object."""
    assert template(NOTHING).objects == []


def test_the_pages_install_lines_render() -> None:
    """The second after the first, as the page has them; the Service that apps are told to send to is there."""
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    lines = [
        line for line in page.replace("\\\n", " ").splitlines() if re.match(r"helm (install|upgrade) ", line)
    ]
    switches = [re.findall(r"--set (\S+)", line) for line in lines]
    assert [len(one) for one in switches] == [3, 10]
    flags = [word for one in switches for switch in one for word in ("--set", switch)]
    done = helm("template", "safety", str(CHART), "--namespace", "safety", *flags, values={})
    assert done.returncode == 0, done.stderr
    rendered = Rendered(done.stdout)
    (address,) = re.findall(r"`http://(\S+)\.safety\.svc:4318`", page)
    assert f"Service/{address}" in rendered.names
    kinds = {one["kind"] for one in rendered.objects}
    assert kinds >= {"CronJob", "PrometheusRule", "ServiceMonitor", "StatefulSet"}


@pytest.mark.parametrize(
    "name", ["everything", "webhooks and reconcile on one volume", "daemonset", "nothing"]
)
def test_the_notes_name_what_is_there(name: str, tmp_path: Path) -> None:
    """What is told after an installation: objects that were made, and the scheme that they speak."""
    copy = tmp_path / "openai-safety"
    shutil.copytree(CHART, copy)
    (copy / "templates" / "NOTES.txt").rename(copy / "notes.txt")
    (copy / "templates" / "notes.yaml").write_text(
        'kind: Notes\ntext: {{ tpl (.Files.Get "notes.txt") . | quote }}\n'
    )
    done = helm("template", "demo", str(copy), "--namespace", "safety", values=CASES[name])
    (notes,) = [one["text"] for one in Rendered(done.stdout).objects if one["kind"] == "Notes"]
    there = {one.rpartition("/")[2] for one in template(CASES[name]).names}
    named = set(re.findall(rf"{NAME}-[a-z]+", notes))
    assert named <= there
    assert ("https://" if name == "everything" else "http://") in notes or name == "nothing"
    assert bool(named) == (name != "nothing")


def test_a_daemonset_takes_the_gateways_place() -> None:
    """The same objects, of another kind."""
    gateway, nodes = template(CASES["gateway"]).names, template(CASES["daemonset"]).names
    assert (gateway - nodes, nodes - gateway) == (
        {f"StatefulSet/{NAME}-collector"},
        {f"DaemonSet/{NAME}-collector"},
    )


def test_a_redis_needs_no_volume_and_holds_the_suspensions() -> None:
    """Journal and list are in it; apps read the same list."""
    rendered = template(EVERYTHING)
    assert rendered.of("PersistentVolumeClaim") == []
    env = {one["name"]: one for one in rendered.container("webhooks")["env"]}
    assert env["OPENAI_SAFETY_STORE"]["valueFrom"] == env["OPENAI_SAFETY_SUSPENSIONS"]["valueFrom"]


def test_the_audit_trail_outlives_the_release() -> None:
    """Helm leaves the claim alone when the release goes."""
    (claim,) = template(CASES["only webhooks"]).of("PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_a_comparison_goes_to_the_node_that_has_the_journal() -> None:
    """A volume of one node is used by the receiver already."""
    shared = template(CASES["webhooks and reconcile on one volume"])
    (term,) = shared.pod("reconcile")["affinity"]["podAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    (receiver,) = [pod for _, pod in shared.pods() if pod["spec"] == shared.pod("webhooks")]
    assert term["labelSelector"]["matchLabels"].items() <= receiver["metadata"]["labels"].items()
    assert "affinity" not in template(EVERYTHING).pod("reconcile")


# A value that cannot work, and how the line about it begins.
REFUSED: dict[str, tuple[Values, str]] = {
    "no Loki": ({}, "collector.stores.loki is needed"),
    "no Prometheus": (dotted(collector__stores__loki="http://loki"), "collector.stores.prometheus is needed"),
    "no image": (merged(NOTHING, dotted(webhooks__enabled=True)), "image.repository is needed"),
    "no image for reconcile": (
        merged(NOTHING, dotted(reconcile__enabled=True)),
        "image.repository is needed",
    ),
    "no signing secret": (
        merged(NOTHING, _WEBHOOKS, dotted(webhooks__signingSecret__secretName="")),
        "webhooks.signingSecret.secretName is needed",
    ),
    "no admin key": (
        merged(NOTHING, _RECONCILE, dotted(reconcile__adminKey__secretName="")),
        "reconcile.adminKey.secretName is needed",
    ),
    "nothing to compare": (
        merged(NOTHING, _RECONCILE, dotted(reconcile__lokiUrl="")),
        "reconcile.lokiUrl is needed",
    ),
    "no Redis": (
        merged(NOTHING, _WEBHOOKS, dotted(store__type="redis")),
        "store.type=redis needs store.redis.secretName",
    ),
    "two writers of a file": (
        merged(NOTHING, _WEBHOOKS, dotted(webhooks__replicas=2)),
        "webhooks.replicas above 1 needs store.type=redis",
    ),
    "a list that apps cannot read": (
        merged(NOTHING, _WEBHOOKS, dotted(webhooks__suspendOn=["identifier_blocked"])),
        "webhooks.suspendOn needs store.type=redis",
    ),
    "a door without a lock": (
        merged(NOTHING, _WEBHOOKS, dotted(webhooks__ingress={"enabled": True, "host": "h"})),
        "webhooks.ingress.enabled needs",
    ),
    "a gateway without a certificate": (
        merged(STORES, dotted(collector__secure={"enabled": True, "tokenSecretName": "t"})),
        "collector.secure.enabled needs",
    ),
    "agents without a token": (
        merged(STORES, dotted(collector__toGateway={"endpoint": "g:4317", "caSecretName": "ca"})),
        "collector.toGateway.endpoint needs",
    ),
    "a gateway of a gateway": (
        merged(CASES["agents of a gateway"], dotted(collector__secure__enabled=True)),
        "collector.secure is for a gateway",
    ),
    "two ways": (
        merged(CASES["agents of a gateway"], dotted(collector__kafka__broker="kafka:9092")),
        "collector.kafka and collector.toGateway are two ways",
    ),
    "evidence to nowhere": (
        merged(CASES["agents of a gateway"], dotted(collector__evidence=True)),
        "collector.evidence needs collector.stores.evidenceLoki",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(name: str) -> None:
    """It names the value and what to give."""
    values, says = REFUSED[name]
    (line,) = refused(values)
    assert line.rpartition("): ")[2].startswith(says)


# Values that the schema does not take, and the value it names.
MISTAKES: dict[str, tuple[Values, str]] = {
    "misspelt": (dotted(collectors__enabled=True), "collectors"),
    "misspelt below": (dotted(collector__evidense=True), "evidense"),
    "latest": (dotted(image__tag="latest"), "/image/tag"),
    "latest collector": (dotted(collector__image__tag="latest"), "/collector/image/tag"),
    "a password in Loki's address": (
        dotted(collector__stores__loki="https://u:p@loki"),
        "/collector/stores/loki",
    ),
    "a password in the endpoint": (dotted(otlpEndpoint="https://u:p@otlp"), "/otlpEndpoint"),
    "a mode that is none": (dotted(collector__mode="deployment"), "/collector/mode"),
    "a setting of the chart's own": (dotted(collector__settings__QUEUE_DIR="/tmp"), "QUEUE_DIR"),
    "a setting that nobody reads": (dotted(collector__settings__LOG_LEVLE="info"), "LOG_LEVLE"),
    "a notice that is none": (dotted(webhooks__suspendOn=["everything"]), "/webhooks/suspendOn/0"),
    "a comparison by nobody": (dotted(reconcile__by=""), "/reconcile/by"),
    "text for a switch": (dotted(reconcile__enabled="no"), "/reconcile/enabled"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistaken_values_are_named(name: str) -> None:
    """Before anything is rendered."""
    values, named = MISTAKES[name]
    assert [line for line in refused(merged(EVERYTHING, values)) if named in line] != []
