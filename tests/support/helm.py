"""The chart as the real `helm` renders it: objects by kind and name, and a matrix of values."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from stack.programs import binary

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "helm" / "openai-safety"
KUBERNETES: Final = "1.36.0"  # the schemas' version (stack/schemas/go.mod)
NAMESPACE: Final = "safety"

Manifest = dict[str, Any]
Values = dict[str, Any]


def merged(*parts: Mapping[str, Any]) -> Values:
    """Values laid over each other, as helm does it."""
    found: Values = {}
    for part in parts:
        for name, value in part.items():
            inside = found.get(name)
            both = isinstance(inside, dict) and isinstance(value, Mapping)
            found[name] = merged(inside, value) if both else value  # type: ignore[arg-type]
    return found


def dotted(**switches: Any) -> Values:
    """``a__b=1`` as ``{"a": {"b": 1}}``."""
    found: Values = {}
    for path, value in switches.items():
        one: Any = value
        for name in reversed(path.split("__")):
            one = {name: one}
        found = merged(found, one)
    return found


def ci_values(name: str) -> Values:
    """One of the chart's own files of values."""
    found: Values = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return found


NOTHING: Final = dotted(
    collector__enabled=False,
    dashboards__enabled=False,
    serviceAccount__create=False,
    networkPolicy__enabled=False,
)
STORES: Final = ci_values("gateway")
EVERYTHING: Final = ci_values("everything")
_IMAGE: Final = dotted(image__repository="registry.example.com/openai-safety")
_WEBHOOKS: Final = merged(
    _IMAGE, dotted(webhooks__enabled=True, webhooks__signingSecret__secretName="openai-safety")
)
_RECONCILE: Final = merged(
    _IMAGE,
    dotted(
        reconcile__enabled=True,
        reconcile__lokiUrl="https://loki.example.com",
        reconcile__adminKey__secretName="openai-admin",
    ),
)
_DAEMONSET: Final = dotted(collector__mode="daemonset")
_UPWARDS: Final = dotted(
    collector__toGateway={
        "endpoint": "gateway-openai-safety-collector.safety.svc:4317",
        "caSecretName": "gateway-ca",
        "tokenSecretName": "gateway-token",
    }
)

CASES: Final[dict[str, Values]] = {
    "gateway": STORES,
    "everything": EVERYTHING,
    "everything on each node": merged(EVERYTHING, _DAEMONSET),
    "nothing": NOTHING,
    "only the collector": merged(NOTHING, STORES, dotted(collector__enabled=True)),
    "only webhooks": merged(NOTHING, _WEBHOOKS),
    "only reconcile": merged(NOTHING, _RECONCILE),
    "only rules": merged(NOTHING, dotted(prometheusRule__enabled=True)),
    "only rules of Loki": merged(NOTHING, dotted(lokiRules__enabled=True)),
    "only dashboards": merged(NOTHING, dotted(dashboards__enabled=True)),
    "daemonset": merged(STORES, _DAEMONSET),
    "daemonset with a folder": merged(
        STORES, _DAEMONSET, dotted(collector__queue__hostPath="/var/lib/otelcol")
    ),
    "agents of a gateway": merged(_DAEMONSET, _UPWARDS),
    "agents of a gateway, with evidence": merged(
        _DAEMONSET,
        _UPWARDS,
        dotted(collector__evidence=True, collector__stores__evidenceLoki="http://loki:3100"),
    ),
    "agents before Kafka": merged(
        _DAEMONSET,
        dotted(
            collector__kafka__broker="kafka:9092", collector__stores__prometheus="https://prometheus/base"
        ),
    ),
    "gateways behind Kafka": merged(
        STORES,
        dotted(collector__kafka={"broker": "kafka:9092", "role": "read"}, collector__replicas=3),
        dotted(collector__secure={"enabled": True, "tlsSecretName": "tls", "tokenSecretName": "tokens"}),
    ),
    "no traces": merged(STORES, dotted(collector__stores__tempo="")),
    "queues in memory of the pod": merged(STORES, dotted(collector__queue__persistent=False)),
    "webhooks and reconcile on one volume": merged(STORES, _WEBHOOKS, _RECONCILE),
    "an existing claim": merged(STORES, _WEBHOOKS, dotted(store__sqlite__existingClaim="ours")),
    "a long name": merged(
        EVERYTHING, dotted(fullnameOverride="a-name-that-is-much-longer-than-what-fits-with-a-suffix")
    ),
    "other names": merged(
        EVERYTHING,
        dotted(
            fullnameOverride="safety",
            nameOverride="safe",
            commonLabels={"team": "trust"},
            serviceAccount__create=False,
            serviceAccount__name="ours",
            image__digest="sha256:" + "0" * 64,
        ),
    ),
}


@dataclass(frozen=True)
class Rendered:
    """What helm made of some values."""

    text: str

    @functools.cached_property
    def objects(self) -> list[Manifest]:
        """All objects, in helm's order."""
        return [one for one in yaml.load_all(self.text, Loader=yaml.CSafeLoader) if one]

    def of(self, *kinds: str) -> list[Manifest]:
        """The objects of these kinds."""
        return [one for one in self.objects if one["kind"] in kinds]

    @property
    def names(self) -> set[str]:
        """``Kind/name`` of every object."""
        return {f"{one['kind']}/{one['metadata']['name']}" for one in self.objects}

    def pods(self) -> Iterator[tuple[Manifest, Manifest]]:
        """Each workload with the template of its pods."""
        for one in self.of("StatefulSet", "DaemonSet", "CronJob"):
            inner = one["spec"].get("jobTemplate", one)["spec"]
            yield one, inner["template"]

    def pod(self, component: str) -> Manifest:
        """The specification of one component's pods."""
        (found,) = [pod["spec"] for _, pod in self.pods() if component_of(pod) == component]
        specification: Manifest = found
        return specification

    def container(self, component: str) -> Manifest:
        """The one container of a component."""
        (found,) = self.pod(component)["containers"]
        container: Manifest = found
        return container


def component_of(manifest: Manifest) -> str:
    """What an object or a pod is part of."""
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def helm(*arguments: str, values: Values) -> subprocess.CompletedProcess[str]:
    """Run helm with these values."""
    command = [str(binary("helm")), *arguments, "--kube-version", KUBERNETES, "--values", "-"]
    return subprocess.run(
        command, input=json.dumps(values), capture_output=True, text=True, check=False, timeout=60
    )


@functools.cache
def _template(values: str) -> Rendered:
    done = helm("template", "demo", str(CHART), "--namespace", NAMESPACE, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return Rendered(done.stdout)


def template(values: Values) -> Rendered:
    """The objects of a release `demo` in the namespace `safety`."""
    return _template(json.dumps(values, sort_keys=True))


def refused(values: Values) -> list[str]:
    """The lines that helm says instead of rendering."""
    done = helm("template", "demo", str(CHART), "--namespace", NAMESPACE, values=values)
    assert done.returncode != 0
    return [line for line in done.stderr.splitlines() if line and "--debug" not in line]
