"""What the chart takes as values: ``values.schema.json``, from ``values.yaml`` and the rules of this table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, get_args

import yaml

from openai_safety_otel.contract.vocabulary import NoticeType

Schema = dict[str, Any]
# A password in an address would stand in the manifests.
_URL: Final = {"type": "string", "pattern": "^(https?://[^/@\\s]+(/[^@\\s]*)?)?$"}
_ADDRESS: Final = {"type": "string", "pattern": "^([^/@\\s]+:[0-9]+)?$"}
_TAG: Final = {"type": "string", "not": {"const": "latest"}}
_DIGEST: Final = {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}
_PULL: Final = {"enum": ["Always", "IfNotPresent", "Never"]}
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_COUNT: Final = {"type": "integer", "minimum": 1}
_OPEN: Final = {"type": "object"}
_KINDS: Final = [one for one in get_args(NoticeType) if one != "unknown"]
# The chart's own: it sets these by other values, or depends on their defaults.
_HELD: Final = re.compile(
    r"CONFIG_DIR|QUEUE_DIR|.*_(LISTEN|PORT|URL|ENDPOINT|FILE|FILES|POLL|BROKER)|MEMORY_LIMIT_MIB"
)

RULES: Final[dict[str, Schema]] = {
    "image.tag": _TAG,
    "image.digest": _DIGEST,
    "image.pullPolicy": _PULL,
    "podSecurityContext": _OPEN,
    "securityContext": _OPEN,
    "collector.mode": {"enum": ["gateway", "daemonset"]},
    "collector.image.tag": _TAG,
    "collector.image.digest": _DIGEST,
    "collector.image.pullPolicy": _PULL,
    "collector.replicas": _COUNT,
    "collector.stores.loki": _URL,
    "collector.stores.evidenceLoki": _URL,
    "collector.stores.prometheus": _URL,
    "collector.stores.tempo": _ADDRESS,
    "collector.toGateway.endpoint": _ADDRESS,
    "collector.kafka.broker": _ADDRESS,
    "collector.kafka.role": {"enum": ["write", "read"]},
    "collector.memoryLimitMiB": {"type": "integer", "minimum": 256},
    "collector.queue.hostPath": {"type": "string", "pattern": "^(/.+)?$"},
    "otlpEndpoint": _URL,
    "store.type": {"enum": ["sqlite", "redis"]},
    "store.sqlite.accessMode": {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]},
    "store.redis.port": _PORT,
    "webhooks.replicas": _COUNT,
    "webhooks.suspendOn": {"type": "array", "items": {"enum": _KINDS}},
    "webhooks.service.port": _PORT,
    "webhooks.ingress.path": {"type": "string", "pattern": "^/"},
    "reconcile.since": {"type": "string", "pattern": "^[0-9]+[mhdw]$"},
    "reconcile.by": {"type": "string", "minLength": 1},
    "reconcile.why": {"type": "string", "minLength": 1},
    "reconcile.lokiUrl": _URL,
    "reconcile.activeDeadlineSeconds": _COUNT,
    "networkPolicy.egressPorts": {"type": "array", "items": _PORT},
}
_TYPES: Final = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}


def settings(collector_files: Iterable[str]) -> list[str]:
    """The variables that the collector's files read and the chart leaves to whoever installs it."""
    read = {name for text in collector_files for name in re.findall(r"\$\{env:([A-Z_]+)", text)}
    return sorted(name for name in read if not _HELD.fullmatch(name))


def schema(values: str, collector_files: Iterable[str]) -> str:
    """The text of ``values.schema.json``.

    Raises:
        KeyError: a rule is about a value that does not exist.
    """
    rules = RULES | {
        "collector.settings": {
            "type": "object",
            "propertyNames": {"enum": settings(collector_files)},
            "additionalProperties": {"type": ["string", "integer"]},
        }
    }
    left = set(rules)
    found = _schema("", yaml.safe_load(values), rules, left)
    if left:
        raise KeyError(f"no such values: {sorted(left)}")
    # Helm hands every chart a `global`.
    found["properties"]["global"] = _OPEN
    return json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **found}, indent=2) + "\n"


def _schema(path: str, value: Any, rules: dict[str, Schema], left: set[str]) -> Schema:
    if path in rules:
        left.discard(path)
        return rules[path]
    if not isinstance(value, dict) or not value or path.endswith(".resources"):
        return {"type": _TYPES[type(value)]}
    inner = {name: _schema(f"{path}.{name}".lstrip("."), one, rules, left) for name, one in value.items()}
    return {"type": "object", "properties": inner, "additionalProperties": False}
