"""An ordinary chat product: FastAPI, the openai package, a login header. It imports nothing of ours.

`current_user` is what any product has for its own logs; the setting ``OPENAI_SAFETY_USER_RESOLVER`` names it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Annotated, Any

import openai
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

_user: ContextVar[str | None] = ContextVar("user", default=None)


def current_user() -> str | None:
    """Who is logged in where this is called."""
    return _user.get()


async def log_in(x_user: Annotated[str | None, Header()] = None) -> None:
    """Take the user from the header that the product's own gateway sets."""
    _user.set(x_user)


class Prompt(BaseModel):
    """What the user wrote."""

    text: str


app = FastAPI(dependencies=[Depends(log_in)])
client = openai.AsyncOpenAI()


def _refused(error: openai.APIError) -> HTTPException:
    return HTTPException(getattr(error, "status_code", 502), detail=error.code or "upstream error")


@app.post("/chat")
async def chat(prompt: Prompt) -> dict[str, str]:
    """One answer."""
    try:
        answer = await client.responses.create(model="gpt-5", input=prompt.text)
    except openai.APIError as error:
        raise _refused(error) from None
    return {"answer": answer.output_text}


@app.post("/chat/stream")
async def chat_stream(prompt: Prompt) -> StreamingResponse:
    """One answer, word by word."""
    try:
        stream = await client.responses.create(model="gpt-5", input=prompt.text, stream=True)
    except openai.APIError as error:
        raise _refused(error) from None

    async def words() -> AsyncIterator[str]:
        try:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    yield event.delta
        except openai.APIError as error:
            yield f"[{error.code}]"

    return StreamingResponse(words(), media_type="text/plain")


@app.post("/ask")
async def ask(prompt: Prompt) -> StreamingResponse:
    """One answer of the older chat API, word by word."""
    messages: Any = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": prompt.text}]
    try:
        stream = await client.chat.completions.create(model="gpt-5-mini", messages=messages, stream=True)
    except openai.APIError as error:
        raise _refused(error) from None

    async def words() -> AsyncIterator[str]:
        try:
            async for chunk in stream:
                for choice in chunk.choices:
                    yield choice.delta.content or ""
        except openai.APIError as error:
            yield f"[{error.code}]"

    return StreamingResponse(words(), media_type="text/plain")


@app.post("/draw")
async def draw(prompt: Prompt) -> dict[str, int]:
    """One picture."""
    try:
        made = await client.images.generate(model="gpt-image-1", prompt=prompt.text)
    except openai.APIError as error:
        raise _refused(error) from None
    return {"pictures": len(made.data or [])}


@app.post("/search")
async def search(prompt: Prompt) -> dict[str, int]:
    """A vector to search with."""
    made = await client.embeddings.create(model="text-embedding-3-small", input=prompt.text)
    return {"dimensions": len(made.data[0].embedding)}
