"""The demo's product with what a larger one has: reports of answers, an index, voice, guests who sign in."""

from __future__ import annotations

from typing import Any

import httpx2

import openai_safety_otel
from openai_safety_otel.demo.app import Prompt, app, client

__all__ = ["app"]
_TEXTS = 20_000


@app.post("/report")
async def report(prompt: Prompt) -> dict[str, str]:
    """One answer, and its reader presses the button below it."""
    answer = await client.responses.create(model="gpt-5", input=prompt.text)
    openai_safety_otel.report_issue(answer.id, "harmful")
    return {"answer": answer.output_text}


@app.post("/index")
async def index(prompt: Prompt) -> dict[str, int]:
    """Vectors of very many texts, read as bytes: more of them than an instrumented process holds to look at."""
    texts = [f"{prompt.text} {number}" for number in range(_TEXTS)]
    asked = client.embeddings.with_streaming_response.create(model="text-embedding-3-small", input=texts)
    async with asked as answer:
        return {"bytes": sum([len(part) async for part in answer.iter_bytes()])}


@app.post("/legacy")
async def legacy(prompt: Prompt) -> dict[str, int]:
    """Code from before the SDK: it talks to the provider by plain HTTP, and no record tells of it."""
    asked = {"model": "gpt-5", "input": prompt.text}
    headers = {"authorization": f"Bearer {client.api_key}"}
    async with httpx2.AsyncClient() as plain:
        answer = await plain.post(f"{client.base_url}responses", json=asked, headers=headers)
    return {"status": answer.status_code}


@app.post("/voice")
async def voice(prompt: Prompt) -> dict[str, Any]:
    """A secret with which a browser may talk to the provider itself."""
    secret = await client.realtime.client_secrets.create()
    return {"expires": secret.expires_at}


@app.post("/welcome")
async def welcome(prompt: Prompt) -> dict[str, str]:
    """A guest asks, signs in, and asks again."""
    with openai_safety_otel.end_user(session=f"guest-{prompt.text}"):
        await client.responses.create(model="gpt-5", input="What is this shop?")
    with openai_safety_otel.end_user(prompt.text, session=f"guest-{prompt.text}"):
        answer = await client.responses.create(model="gpt-5", input="Where are my orders?")
    return {"answer": answer.output_text}
