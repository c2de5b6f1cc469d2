"""Pieces that several APIs' answers share: text, token counts, inline moderation, schema instances."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from openai_safety_otel.contract.vocabulary import CATEGORIES
from openai_safety_otel.testing.ledger import LedgerEntry
from openai_safety_otel.testing.scenarios import Act, error
from openai_safety_otel.testing.state import State
from openai_safety_otel.testing.wire import Answer, ProviderRequest, json_answer

TEXT = "Here is a short and friendly answer from the stub."
REFUSAL = "I cannot help with that."
REASONS = ("Thinking ", "about ", "it.")
ARGUMENTS = ('{"city":', '"Oslo"}')


@dataclass(slots=True)
class Scene:
    """All an endpoint's shape needs: the request, the act, the memory and the ledger's entry to fill."""

    call: ProviderRequest
    act: Act
    state: State
    entry: LedgerEntry

    @property
    def words(self) -> list[str]:
        """The answer in the pieces a stream sends, cut short where the act ends in the middle."""
        text = schema_text(self.call.body) or TEXT
        pieces = [word + " " for word in text.split(" ")]
        pieces[-1] = pieces[-1].rstrip()
        return pieces[: self.act.after] if self.halts else pieces

    @property
    def halts(self) -> bool:
        """Whether an error ends this answer."""
        return self.act.way in {"frame", "flat", "failed"}

    def count(self, output: str) -> tuple[int, int]:
        """Note and return input and output tokens: one a word."""
        self.entry.input_tokens = len(self.call.text().split()) + 4
        self.entry.output_tokens = len(output.split())
        return self.entry.input_tokens, self.entry.output_tokens


def not_found(scene: Scene, message: str) -> Answer:
    """There is no such object: what was asked for failed."""
    scene.entry.outcome, scene.entry.status = "failed", 404
    return json_answer({"error": error(None, message)}, 404)


def schema_text(body: dict[str, Any]) -> str | None:
    """A JSON text that fits the schema the request asks for, if it asks for one."""
    asked = (body.get("text") or {}).get("format") if isinstance(body.get("text"), dict) else None
    asked = asked or body.get("response_format")
    if not isinstance(asked, dict) or asked.get("type") != "json_schema":
        return None
    holder = asked.get("json_schema") or asked
    schema = holder.get("schema", {})
    return json.dumps(_instance(schema, schema.get("$defs", {})))


def _instance(schema: dict[str, Any], definitions: dict[str, Any]) -> Any:
    if reference := schema.get("$ref"):
        return _instance(definitions[reference.rsplit("/", 1)[-1]], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], definitions)
    if schema.get("type") == "object":
        return {name: _instance(inner, definitions) for name, inner in schema.get("properties", {}).items()}
    plain: dict[str, Any] = {"string": "stub", "integer": 1, "number": 0.5, "boolean": True, "array": []}
    return plain.get(str(schema.get("type")))


def moderation_result(flagged: tuple[str, ...], model: str) -> dict[str, Any]:
    """One moderation result: low scores that differ by category, high ones where flagged."""
    scores = {name: round(0.0001 * (at + 1), 4) for at, name in enumerate(CATEGORIES)}
    scores |= dict.fromkeys(flagged, 0.91)
    return {
        "type": "moderation_result",
        "model": model,
        "flagged": bool(flagged),
        "categories": {name: name in flagged for name in scores},
        "category_scores": scores,
        "category_applied_input_types": {name: ["text"] for name in scores},
    }


def inline_moderation(scene: Scene, *, listed: bool) -> dict[str, Any] | None:
    """The ``moderation`` member of an answer, if the request asked; only Chat lists its results."""
    asked = scene.call.body.get("moderation")
    if not isinstance(asked, dict):
        return None
    model = str(asked.get("model"))
    legs: dict[str, Any] = {}
    for direction in ("input", "output"):
        flagged = scene.act.flagged(direction)
        result = moderation_result(flagged, model)
        legs[direction] = (
            {"type": "moderation_results", "model": model, "results": [result]} if listed else result
        )
        if not (direction == "output" and scene.act.moderation_error):
            setattr(scene.entry, f"{direction}_flagged", flagged)
    if scene.act.moderation_error:
        legs["output"] = {
            "type": "error",
            "code": "moderation_unavailable",
            "message": "The check timed out.",
        }
    return legs


def token_usage(used: int, made: int) -> dict[str, Any]:
    """Token counts as Responses and Decisions write them."""
    return {
        "input_tokens": used,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used + made,
    }
