"""What every rendering of the chart keeps to, whatever the values."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.launches import BUILD
from stack.programs import binary
from support.helm import CASES, CHART, NAMESPACE, ROOT, Manifest, Rendered, ci_values, helm, template

pytestmark = pytest.mark.stack

SCHEMAS = BUILD / "schemas" / "{{ .ResourceKind }}{{ .KindSuffix }}.json"
ANNOTATION_BYTES = 262_144  # what `kubectl apply` writes into an annotation must fit
RELEASE_BYTES = 1_048_576  # a Secret holds the release


def kubeconform(manifests: str) -> list[str]:
    """What does not fit the schemas of Kubernetes and of the Prometheus operator."""
    command = [str(binary("kubeconform")), "-strict", "-output", "json", "-schema-location", str(SCHEMAS)]
    done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in json.loads(done.stdout)["resources"]]


@pytest.mark.parametrize(
    "name", sorted(path.name.removesuffix("-values.yaml") for path in CHART.glob("ci/*"))
)
def test_helm_lint_finds_nothing(name: str) -> None:
    """Strictly, with each of the chart's own files of values."""
    done = helm("lint", "--strict", str(CHART), values=ci_values(name))
    assert (done.returncode, re.findall(r"\[(?:WARNING|ERROR)\].*", done.stdout)) == (0, [])


def test_helm_lint_takes_the_default_values() -> None:
    """What must be given is said when it is installed, not when it is looked at."""
    assert helm("lint", "--strict", str(CHART), values={}).returncode == 0


def test_every_object_fits_its_schema(rendered: Rendered) -> None:
    """Kubernetes knows every field."""
    assert kubeconform(rendered.text) == []


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("StatefulSet", "serviceName", "servicename"),
        ("CronJob", "concurrencyPolicy: Forbid", "concurrencyPolicy: 7"),
        ("ServiceMonitor", "interval", "intervall"),
        ("PrometheusRule", "expr", "expression"),
        ("NetworkPolicy", "policyTypes", "policyType"),
    ],
)
def test_the_schemas_refuse_what_nobody_knows(kind: str, old: str, new: str) -> None:
    """A misspelt field or a wrong type is found: Kubernetes would drop it without a word."""
    text = yaml.safe_dump(template(CASES["everything"]).of(kind)[0], width=10_000)
    assert kubeconform(text) == []
    assert [kind] == [line.split()[0] for line in kubeconform(text.replace(old, new, 1))]


def test_every_object_says_whose_it_is(rendered: Rendered) -> None:
    """Namespace, the usual labels, and names that Kubernetes takes."""
    wanted = {"name", "instance", "component", "version", "managed-by", "part-of"}
    for one in rendered.objects:
        about = one["metadata"]
        assert about["namespace"] == NAMESPACE
        assert {f"app.kubernetes.io/{name}" for name in wanted} | {"helm.sh/chart"} <= set(about["labels"])
        # What makes pods leaves room for the names of these.
        most = 61 if one["kind"] not in {"CronJob", "StatefulSet", "DaemonSet"} else 50
        assert re.fullmatch(rf"[a-z0-9]([a-z0-9-]{{0,{most}}}[a-z0-9])?", about["name"])


def test_names_are_used_once(rendered: Rendered) -> None:
    """No object replaces another."""
    assert len(rendered.names) == len(rendered.objects)


def test_pods_have_no_rights(rendered: Rendered) -> None:
    """No root, no writable root, no capabilities, no token, and no more than the default system calls."""
    for _, pod in rendered.pods():
        specification = pod["spec"]
        assert specification["automountServiceAccountToken"] is False
        assert specification["enableServiceLinks"] is False
        outer = specification["securityContext"]
        assert (outer["runAsNonRoot"], outer["seccompProfile"]) == (True, {"type": "RuntimeDefault"})
        assert min(outer["runAsUser"], outer["runAsGroup"], outer["fsGroup"]) > 9999
        assert [
            (one, one["securityContext"])
            for one in containers(specification)
            if one["securityContext"]
            != {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        ] == []


def containers(specification: Manifest) -> list[Manifest]:
    """All containers of a pod, those that start it included."""
    return [*specification["containers"], *specification.get("initContainers", ())]


def test_containers_say_what_they_need_and_how_they_are(rendered: Rendered) -> None:
    """Requests, a limit of memory, and all three probes but for jobs, which end by themselves."""
    for workload, pod in rendered.pods():
        for one in containers(pod["spec"]):
            assert set(one["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in one["resources"]["limits"]
            probes = {name for name in one if name.endswith("Probe")}
            wanted = {"startupProbe", "readinessProbe", "livenessProbe"}
            assert probes == (set() if workload["kind"] == "CronJob" else wanted)


def test_probes_ask_ports_that_are_there(rendered: Rendered) -> None:
    """Each by a name of the same container."""
    for _, pod in rendered.pods():
        for one in containers(pod["spec"]):
            named = {port["name"] for port in one.get("ports", ())}
            asked = {
                how["port"]
                for name, probe in one.items()
                if name.endswith("Probe")
                for how in probe.values()
                if isinstance(how, dict)
            }
            assert asked <= named


def test_images_are_pinned(rendered: Rendered) -> None:
    """A version or a digest, never `latest`."""
    images = [one["image"] for _, pod in rendered.pods() for one in containers(pod["spec"])]
    assert [one for one in images if not re.search(r":\d+\.\d+\.\d+$|@sha256:[0-9a-f]{64}$", one)] == []


def test_mounts_and_volumes_belong_together(rendered: Rendered) -> None:
    """Every mount has a volume, every volume a mount, and no path is mounted twice."""
    for workload, pod in rendered.pods():
        volumes = [one["name"] for one in pod["spec"]["volumes"]]
        volumes += [one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", ())]
        (container,) = containers(pod["spec"])
        mounts = container["volumeMounts"]
        assert sorted(volumes) == sorted(one["name"] for one in mounts)
        assert len({one["mountPath"] for one in mounts}) == len(mounts)


def test_config_maps_that_are_mounted_exist(rendered: Rendered) -> None:
    """With every key that is asked for."""
    kept = {one["metadata"]["name"]: set(one["data"]) for one in rendered.of("ConfigMap")}
    for _, pod in rendered.pods():
        for source in projected(pod["spec"]):
            keys = {item["key"] for item in source.get("items", ())}
            assert keys <= kept[source["name"]]


def projected(specification: Manifest) -> list[Manifest]:
    """The ConfigMaps that a pod mounts."""
    return [
        source["configMap"]
        for volume in specification["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    ]


def test_services_reach_ports_of_pods(rendered: Rendered) -> None:
    """Each selects one workload, and each of its ports is a port of that workload's container."""
    pods = [pod for _, pod in rendered.pods()]
    for service in rendered.of("Service"):
        selector = service["spec"]["selector"].items()
        (pod,) = [one for one in pods if selector <= one["metadata"]["labels"].items()]
        named = {port["name"] for one in containers(pod["spec"]) for port in one["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_a_workload_selects_its_own_pods_only(rendered: Rendered) -> None:
    """By labels that they have, and that a change of version does not change."""
    for workload, pod in rendered.pods():
        if workload["kind"] != "CronJob":
            selector = workload["spec"]["selector"]["matchLabels"]
            names = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
            assert set(selector) == names
            assert selector.items() <= pod["metadata"]["labels"].items()


def test_objects_fit_where_they_are_kept(rendered: Rendered) -> None:
    """Each in the annotation that `kubectl apply` (and what works like it) writes."""
    large = {
        one["metadata"]["name"]: size
        for one in rendered.objects
        if (size := len(json.dumps(one))) > ANNOTATION_BYTES
    }
    assert large == {}


def test_the_largest_release_fits_into_its_secret() -> None:
    """Helm keeps the chart and the manifests of a release in one Secret of a mebibyte at the most."""
    files = {str(path.relative_to(CHART)): path.read_bytes() for path in CHART.rglob("*") if path.is_file()}
    kept = {name: base64.b64encode(data).decode() for name, data in files.items()}
    release = json.dumps({"chart": kept, "manifest": template(CASES["everything"]).text})
    secret = base64.b64encode(base64.b64encode(gzip.compress(release.encode())))
    assert len(secret) < RELEASE_BYTES


def test_the_account_has_no_token_and_no_rights(rendered: Rendered) -> None:
    """Nothing here talks to Kubernetes."""
    assert [one for one in rendered.of("ServiceAccount") if one["automountServiceAccountToken"]] == []
    assert rendered.of("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "Secret") == []


def test_rules_and_dashboards_are_the_shipped_ones() -> None:
    """To the letter, wherever they are put."""
    everything = template(CASES["everything"])
    (rule,) = everything.of("PrometheusRule")
    assert rule["spec"] == _yaml("grafana/alerts/openai-safety.rules.yaml")
    kept = {name: text for one in everything.of("ConfigMap") for name, text in one["data"].items()}
    assert yaml.safe_load(kept["openai-safety.rules.yaml"]) == _yaml("grafana/alerts/loki.rules.yaml")
    shipped = {
        f"openai-safety-{path.name}": path.read_text()
        for path in (ROOT / "grafana/dashboards").glob("*.json")
    }
    assert {name: text for name, text in kept.items() if name.endswith(".json")} == shipped


def _yaml(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def test_prometheus_takes_the_rendered_rules(tmp_path: Path) -> None:
    """Its own tool says so of the file that the operator writes for it."""
    (rule,) = template(CASES["only rules"]).of("PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    command = [str(binary("promtool")), "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sidecars_find_what_they_look_for() -> None:
    """By the labels that Grafana's and Loki's charts look for."""
    maps = template(CASES["everything"]).of("ConfigMap")
    boards = [one for one in maps if "grafana_dashboard" in one["metadata"]["labels"]]
    assert {one["metadata"]["labels"]["grafana_dashboard"] for one in boards} == {"1"}
    assert {one["metadata"]["annotations"]["grafana_folder"] for one in boards} == {"OpenAI safety"}
    assert len(boards) == 4
    assert [""] == [
        one["metadata"]["labels"]["loki_rule"] for one in maps if "loki_rule" in one["metadata"]["labels"]
    ]
