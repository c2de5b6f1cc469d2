"""The views of the Django project under test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path


def sync_view(request: HttpRequest) -> HttpResponse:
    answer = openai.OpenAI().responses.create(model="gpt-5", input=request.GET["text"])
    return HttpResponse(answer.output_text)


async def async_view(request: HttpRequest) -> HttpResponse:
    answer = await openai.AsyncOpenAI().responses.create(model="gpt-5", input=request.GET["text"])
    return HttpResponse(answer.output_text)


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    def words() -> Iterator[str]:
        stream: Any = openai.OpenAI().responses.create(model="gpt-5", input=request.GET["text"], stream=True)
        for event in stream:
            yield event.type

    return StreamingHttpResponse(words())


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def words() -> AsyncIterator[str]:
        client = openai.AsyncOpenAI()
        stream: Any = await client.responses.create(model="gpt-5", input=request.GET["text"], stream=True)
        async for event in stream:
            yield event.type

    return StreamingHttpResponse(words())


urlpatterns = [
    path("sync", sync_view),
    path("async", async_view),
    path("sync-stream", sync_stream),
    path("async-stream", async_stream),
]
