"""Files and batches: a batch is worked off at once, line by line, by the stub itself."""

from __future__ import annotations

import json
import time
from typing import Any

from openai_safety_otel.testing.shapes.common import Scene, not_found
from openai_safety_otel.testing.wire import Answer, json_answer


def upload(scene: Scene) -> Answer:
    """Keep a file."""
    body = scene.call.body
    content = body.get("file", b"")
    stored = store(scene, content if isinstance(content, bytes) else str(content).encode(), "input.jsonl")
    stored["purpose"] = str(body.get("purpose", "batch"))
    return json_answer(stored)


def store(scene: Scene, content: bytes, name: str) -> dict[str, Any]:
    """Put a file into the provider's memory and describe it."""
    file_id = scene.state.new_id("file")
    scene.state.contents[file_id] = content
    described = {
        "id": file_id,
        "object": "file",
        "bytes": len(content),
        "created_at": int(time.time()),
        "filename": name,
        "purpose": "batch_output",
        "status": "processed",
    }
    scene.state.objects[file_id] = described
    return described


def described(scene: Scene) -> Answer:
    """A file's or batch's description."""
    wanted = next(iter(scene.call.params.values()))
    found = scene.state.objects.get(wanted)
    if found is None:
        return not_found(scene, "Not found.")
    return json_answer(found)


def content(scene: Scene) -> Answer:
    """A file's bytes."""
    kept = scene.state.contents.get(scene.call.params["file_id"], b"")
    return Answer(content_type="application/jsonl", body=kept)


def batch(scene: Scene) -> Answer:
    """Play every line of the input file through the provider; failures go to the error file."""
    body = scene.call.body
    lines = scene.state.contents.get(str(body.get("input_file_id")), b"").splitlines()
    results = [_play(scene, json.loads(line)) for line in lines if line.strip()]
    good = [result for result in results if result["response"]["status_code"] < 400]  # noqa: PLR2004 - HTTP
    bad = [result for result in results if result not in good]
    batch_id = scene.state.new_id("batch")
    now = int(time.time())
    counts = {"total": len(results), "completed": len(good), "failed": len(bad)}
    made = {
        "id": batch_id,
        "object": "batch",
        "endpoint": body.get("endpoint"),
        "input_file_id": body.get("input_file_id"),
        "completion_window": "24h",
        "created_at": now,
        "completed_at": now,
        "status": "completed",
        "request_counts": counts,
        "output_file_id": _file(scene, good),
        "error_file_id": _file(scene, bad),
    }
    scene.state.objects[batch_id] = made
    return json_answer(made)


def _file(scene: Scene, results: list[dict[str, Any]]) -> str | None:
    lines = "".join(json.dumps(result) + "\n" for result in results).encode()
    return str(store(scene, lines, "results.jsonl")["id"]) if lines else None


def _play(scene: Scene, line: dict[str, Any]) -> dict[str, Any]:
    headers = {name: scene.call.headers.get(name, "") for name in ("authorization", "api-key")}
    answer, request_id = scene.state.inner(line["method"], line["url"], line["body"], headers)
    response = {"status_code": answer.status, "request_id": request_id, "body": json.loads(answer.body)}
    custom = line.get("custom_id")
    return {"id": scene.state.new_id("batch_req"), "custom_id": custom, "response": response, "error": None}
