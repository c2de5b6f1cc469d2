"""Recorded exchanges, and a reader of them that knows neither the SDK nor any table of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openai_safety_otel.instrumentation.extract.endpoints import Endpoint, find

Facts = dict[str, Any]
Exchange = dict[str, Any]


def corpus() -> list[Any]:
    folder = os.environ.get("WIRE_CORPUS", "")
    if not folder:
        reason = "WIRE_CORPUS names no folder of recorded exchanges"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="no-corpus")]
    files = sorted(Path(folder).glob("*.json"))
    assert files, f"WIRE_CORPUS is set, but {folder} holds no exchange"
    loaded = [(file.stem, json.loads(file.read_bytes())) for file in files]
    return [pytest.param(exchange, id=name) for name, exchange in loaded if endpoint_of(exchange)]


def corpus_files() -> list[Path]:
    """The files of the corpus; a test that needs them is skipped, saying so, where there is none."""
    folder = os.environ.get("WIRE_CORPUS", "")
    if not folder:
        pytest.skip("WIRE_CORPUS names no folder of recorded exchanges")
    return sorted(Path(folder).glob("*.json"))


def endpoint_of(exchange: Exchange) -> Endpoint | None:
    return find(exchange["method"], f"https://{exchange['host']}{exchange['path']}")


# --- what the exchange says, read without the SDK and without any table of ours --------------------


def documents_of(exchange: Exchange) -> Iterator[Any]:
    text = exchange["response"]
    if text.lstrip()[:1] == "{":
        yield json.loads(text)
        return
    for line in text.splitlines():
        if line.startswith("data:") and "[DONE]" not in line:
            yield json.loads(line[5:])


def said(exchange: Exchange) -> Facts:
    facts: Facts = dict.fromkeys(("model", "id", "input", "output", "cached", "reasoning"))
    reasons: dict[int, str] = {}
    refused = blocked = failed = False
    for document in documents_of(exchange):
        answer = document.get("response", document)
        if answer.get("object", "thread.run") not in _ANSWERS:
            continue
        facts["model"] = answer.get("model") or facts["model"]
        facts["id"] = answer.get("id") or facts["id"]
        facts.update(_tokens(answer.get("usage") or {}))
        for choice in answer.get("choices", []):
            said = choice.get("message") or choice.get("delta") or {}
            refused = refused or bool(said.get("refusal"))
            if choice.get("finish_reason"):
                reasons[choice["index"]] = choice["finish_reason"]
        if answer.get("object") == "response" and answer["status"] == "completed":
            kinds = [item["type"] for item in answer["output"]]
            reasons[0] = "tool_calls" if "function_call" in kinds else "stop"
            refused = refused or '"type": "refusal"' in json.dumps(answer["output"])
        if error := answer.get("error"):
            blocked = error.get("code") == "content_filter"
            failed = not blocked
    facts["reasons"] = tuple(reasons[index] for index in sorted(reasons))
    blocked = blocked or "content_filter" in facts["reasons"]
    facts["outcome"] = "blocked" if blocked else "failed" if failed else "refused" if refused else "completed"
    # A fetched answer reports no tokens, but for a run: nobody else is told how many it took.
    if exchange["method"] == "GET" and "/runs/" not in exchange["path"]:
        facts.update(dict.fromkeys(("input", "output", "cached", "reasoning")))
    return facts


_ANSWERS = {
    "",
    "chat.completion",
    "chat.completion.chunk",
    "text_completion",
    "response",
    "list",
    "thread.run",
}


def _tokens(usage: dict[str, Any]) -> Facts:
    found = {
        "input": usage.get("prompt_tokens", usage.get("input_tokens")),
        "output": usage.get("completion_tokens", usage.get("output_tokens")),
    }
    for side, name, kind in (
        ("prompt", "cached", "cached_tokens"),
        ("input", "cached", "cached_tokens"),
        ("completion", "reasoning", "reasoning_tokens"),
        ("output", "reasoning", "reasoning_tokens"),
    ):
        details = usage.get(f"{side}_tokens_details") or {}
        found.setdefault(name, details.get(kind))
        found[name] = details.get(kind, found[name])
    return {name: value for name, value in found.items() if value is not None}
