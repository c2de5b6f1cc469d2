"""What kubeconform checks manifests against: JSON schemas made of the OpenAPI document and CRDs of the real projects.

Strict: a field that nobody knows is an error, because Kubernetes would drop it without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

Schema = dict[str, Any]
KUBERNETES: Final = "k8s.io/kubernetes"
OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator"
_REFERENCE: Final = "#/definitions/"
# Of its kinds, those that we use.
_CUSTOM: Final = ("prometheusrules", "servicemonitors")
# Two types are written as text there and may be numbers.
_EITHER: Final = {"oneOf": [{"type": "string"}, {"type": "number"}]}
_QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"


def write_schemas(sources: dict[str, Path], folder: Path) -> int:
    """Write one file a kind under the names that kubeconform looks for; says how many.

    Args:
        sources: the folders of the two modules, by their paths.
        folder: where to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = {**_kinds(sources[KUBERNETES]), **_custom_kinds(sources[OPERATOR])}
    for name, schema in found.items():
        (folder / f"{name}.json").write_text(json.dumps(schema))
    return len(found)


def _file_name(group: str, version: str, kind: str) -> str:
    return "-".join(filter(None, (kind, group.partition(".")[0], version))).lower()


def _kinds(source: Path) -> dict[str, Schema]:
    """Every kind of the API server's own document, each with all that it refers to."""
    document = json.loads((source / "api/openapi-spec/swagger.json").read_text())["definitions"]
    definitions = {name: strict(one) for name, one in document.items()} | {_QUANTITY: _EITHER}
    found = {}
    for name, original in document.items():
        for one in original.get("x-kubernetes-group-version-kind", ()):
            api = "/".join(filter(None, (one["group"], one["version"])))
            used = dict(_used(name, definitions))
            told = {"apiVersion": {"const": api}, "kind": {"const": one["kind"]}}
            used[name] = {
                **used[name],
                "properties": {**used[name].get("properties", {}), **told},
                "required": sorted({*used[name].get("required", ()), *told}),
            }
            found[_file_name(**one)] = {"$ref": _REFERENCE + name, "definitions": used}
    return found


def _used(start: str, definitions: dict[str, Schema]) -> Iterator[tuple[str, Schema]]:
    waiting, seen = [start], {start}
    while waiting:
        name = waiting.pop()
        yield name, definitions[name]
        for other in re.findall(rf'"{_REFERENCE}([^"]+)"', json.dumps(definitions[name])):
            if other not in seen:
                seen.add(other)
                waiting.append(other)


def _custom_kinds(source: Path) -> dict[str, Schema]:
    """The kinds that the operator adds."""
    found = {}
    for name in _CUSTOM:
        path = source / f"example/prometheus-operator-crd/monitoring.coreos.com_{name}.yaml"
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            found[_file_name(spec["group"], version["name"], spec["names"]["kind"])] = schema
    return found


def strict(schema: Any) -> Any:
    """The same schema, closed: no field beyond those it names, unless it says that others may come."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return _EITHER
    closed = {key: _inner(key, value) for key, value in schema.items() if key != "description"}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(schema.get("properties"), dict) and not is_open:
        closed["additionalProperties"] = False
    return closed


def _inner(key: str, value: Any) -> Any:
    # Below these stand names, not schemas: a field may be called "description" or "format".
    if key in {"properties", "patternProperties"}:
        return {name: strict(one) for name, one in value.items()}
    return value if key in {"enum", "default", "required", "example"} else strict(value)
