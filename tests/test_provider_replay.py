"""The provider stub serving recorded exchanges."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from openai_safety_otel.testing.provider import Provider


def code(client: Any, text: str) -> str:
    """Status and code of the error that this request is answered with."""
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.create(model="gpt-5", input=text)
    return f"{caught.value.status_code} {caught.value.code}"


def test_recorded_exchanges_are_served_again(tmp_path: Path) -> None:
    """A recording is found by method, path and body; several of one request take turns; others are a 404."""
    request = {"model": "gpt-5", "input": "x"}
    for number, answer in enumerate(("first", "second")):
        exchange = {
            "method": "POST",
            "path": "/v1/responses",
            "request": request,
            "status": 400,
            "content_type": "application/json",
            "response": json.dumps({"error": {"code": answer}}),
        }
        (tmp_path / f"{number}.json").write_text(json.dumps(exchange))
    with Provider(replay=tmp_path) as provider, OpenAI(base_url=provider.url, api_key="k") as client:
        texts = ("x", "x", "x", "unknown")
        looks = [code(client, text) for text in texts]
        scenarios = {entry.scenario for entry in provider.ledger}
    assert looks == ["400 first", "400 second", "400 first", "404 None"]
    assert scenarios == {"recorded"}


def test_the_wire_corpus_is_served_as_recorded() -> None:
    """Every exchange of the corpus comes back with its status and its body (needs WIRE_CORPUS)."""
    folder = os.environ.get("WIRE_CORPUS")
    if not folder:
        pytest.skip("WIRE_CORPUS is not set")
    exchanges = [json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))]
    wrong = []
    with Provider(replay=folder) as provider:
        for exchange in exchanges:
            body = None if exchange["request"] is None else json.dumps(exchange["request"]).encode()
            request = urllib.request.Request(
                f"{provider.origin}{exchange['path']}",
                body,
                {"content-type": "application/json"},
                method=exchange["method"],
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    status, text = answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                status, text = error.code, error.read().decode()
            alike = [
                one["response"].replace("\r\n", "\n").strip()
                for one in exchanges
                if (one["path"], one["request"]) == (exchange["path"], exchange["request"])
            ]
            if status != exchange["status"] or text.strip() not in alike:
                wrong.append(exchange["source"])
    assert wrong == []
