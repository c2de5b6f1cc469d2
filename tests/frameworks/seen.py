"""Ways in which packages call OpenAI, each as its own documentation shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MODEL, TEXT = "gpt-5", "hello"
MESSAGES: Any = [{"role": "user", "content": TEXT}]
BODY: Any = {"model": MODEL, "input": TEXT}


@dataclass(frozen=True)
class Way:
    """One way of one package; ``call`` takes the provider's URL, and reads `OPENAI_BASE_URL` where it does not."""

    group: str
    package: str
    name: str
    call: Callable[[str], Any]


WAYS: list[Way] = []


def way(group: str, package: str, name: str) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Put a function into the table."""

    def put(call: Callable[[str], Any]) -> Callable[[str], Any]:
        WAYS.append(Way(group, package, name, call))
        return call

    return put


# --- the SDK, and plain HTTP ------------------------------------------------------------------------------------


@way("frameworks", "openai", "`OpenAI`, `AsyncOpenAI`")
def _openai(url: str) -> None:
    import openai

    openai.OpenAI().responses.create(**BODY)


@way("frameworks", "openai", "a gateway's address as `base_url`, not on the list of `INJECT_HOSTS`")
def _openai_elsewhere(url: str) -> None:
    import openai

    openai.OpenAI(base_url=url.replace("127.0.0.1", "localhost")).responses.create(**BODY)


@way("frameworks", "openai", "Responses over its WebSocket")
def _openai_socket(url: str) -> None:
    import openai

    with openai.OpenAI().responses.connect() as socket:
        socket.response.create(**BODY)
        for event in socket:
            if event.type == "response.completed":
                break


@way("frameworks", "httpx", "`post`")
def _httpx(url: str) -> None:
    import httpx

    httpx.post(f"{url}/responses", json=BODY)


@way("frameworks", "httpx2", "`post`")
def _httpx2(url: str) -> None:
    import httpx2

    httpx2.post(f"{url}/responses", json=BODY)


@way("frameworks", "requests", "`post`")
def _requests(url: str) -> None:
    import requests

    requests.post(f"{url}/responses", json=BODY, timeout=10)


@way("frameworks", "aiohttp", "`post`")
async def _aiohttp(url: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.post(f"{url}/responses", json=BODY) as answer:
        await answer.read()


# --- frameworks on the newest SDK -------------------------------------------------------------------------------


@way("frameworks", "langchain-openai", "`ChatOpenAI`")
def _langchain(url: str) -> None:
    from langchain_openai import ChatOpenAI

    ChatOpenAI(model=MODEL).invoke(TEXT)


@way("frameworks", "langchain-openai", "`ChatOpenAI(use_responses_api=True)`, streamed")
def _langchain_responses(url: str) -> None:
    from langchain_openai import ChatOpenAI

    list(ChatOpenAI(model=MODEL, use_responses_api=True).stream(TEXT))


@way("frameworks", "langchain-openai", "`OpenAIEmbeddings`")
def _langchain_embeddings(url: str) -> None:
    from langchain_openai import OpenAIEmbeddings

    OpenAIEmbeddings(check_embedding_ctx_length=False).embed_query(TEXT)


@way("frameworks", "pydantic-ai-slim", "`OpenAIChatModel`")
def _pydantic_ai(url: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel

    Agent(OpenAIChatModel(MODEL)).run_sync(TEXT)


@way("frameworks", "pydantic-ai-slim", "`OpenAIResponsesModel`")
def _pydantic_ai_responses(url: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIResponsesModel

    Agent(OpenAIResponsesModel(MODEL)).run_sync(TEXT)


@way("frameworks", "openai-agents", "`Runner`, Responses")
async def _agents(url: str) -> None:
    import openai
    from agents import Agent, OpenAIProvider, RunConfig, Runner

    provider = OpenAIProvider(openai_client=openai.AsyncOpenAI(), use_responses=True)
    config = RunConfig(model_provider=provider, tracing_disabled=True)
    await Runner.run(Agent(name="a", model=MODEL), TEXT, run_config=config)


@way("frameworks", "openai-agents", "`Runner`, Chat Completions")
async def _agents_chat(url: str) -> None:
    import openai
    from agents import Agent, OpenAIProvider, RunConfig, Runner

    provider = OpenAIProvider(openai_client=openai.AsyncOpenAI(), use_responses=False)
    config = RunConfig(model_provider=provider, tracing_disabled=True)
    await Runner.run(Agent(name="a", model=MODEL), TEXT, run_config=config)


@way("frameworks", "openai-agents", "`Runner`, Responses over its WebSocket")
async def _agents_socket(url: str) -> None:
    import openai
    from agents import Agent, OpenAIProvider, RunConfig, Runner

    provider = OpenAIProvider(
        openai_client=openai.AsyncOpenAI(), use_responses=True, use_responses_websocket=True
    )
    await Runner.run(
        Agent(name="a", model=MODEL),
        TEXT,
        run_config=RunConfig(model_provider=provider, tracing_disabled=True),
    )


@way("frameworks", "smolagents", "`OpenAIModel`")
def _smolagents(url: str) -> None:
    from smolagents import ChatMessage, OpenAIModel

    OpenAIModel(model_id=MODEL, api_base=url, api_key="k").generate([ChatMessage(role="user", content=TEXT)])


@way("frameworks", "dspy", "`LM`")
def _dspy(url: str) -> None:
    import dspy

    dspy.LM(f"openai/{MODEL}", api_base=url, api_key="k", cache=False, max_tokens=None, temperature=None)(
        TEXT
    )


@way("frameworks", "dspy", '`LM(model_type="responses")`')
def _dspy_responses(url: str) -> None:
    import dspy

    dspy.LM(
        f"openai/{MODEL}",
        model_type="responses",
        api_base=url,
        api_key="k",
        cache=False,
        max_tokens=None,
        temperature=None,
    )(TEXT)


@way("frameworks", "autogen-ext", "`OpenAIChatCompletionClient`")
async def _autogen(url: str) -> None:
    from autogen_core.models import UserMessage
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    await OpenAIChatCompletionClient(model=MODEL).create([UserMessage(content=TEXT, source="user")])


@way("frameworks", "haystack-ai", "`OpenAIChatGenerator`")
def _haystack(url: str) -> None:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage

    OpenAIChatGenerator(model=MODEL, api_base_url=url).run([ChatMessage.from_user(TEXT)])


@way("frameworks", "haystack-ai", "`OpenAIResponsesChatGenerator`")
def _haystack_responses(url: str) -> None:
    from haystack.components.generators.chat import OpenAIResponsesChatGenerator
    from haystack.dataclasses import ChatMessage

    OpenAIResponsesChatGenerator(model=MODEL, api_base_url=url).run([ChatMessage.from_user(TEXT)])


@way("frameworks", "semantic-kernel", "`OpenAIChatCompletion`")
async def _semantic_kernel(url: str) -> None:
    from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
    from semantic_kernel.contents import ChatHistory

    history = ChatHistory()
    history.add_user_message(TEXT)
    service = OpenAIChatCompletion(ai_model_id=MODEL, api_key="k")
    await service.get_chat_message_contents(history, OpenAIChatPromptExecutionSettings())


@way("frameworks", "litellm", "`completion`")
def _litellm(url: str) -> None:
    import litellm

    litellm.completion(f"openai/{MODEL}", MESSAGES, api_base=url)


@way("frameworks", "litellm", "`responses`")
def _litellm_responses(url: str) -> None:
    import litellm

    litellm.responses(model=f"openai/{MODEL}", input=TEXT, api_base=url)


@way("frameworks", "litellm", "`responses`, with [our callback](litellm.md)")
def _litellm_callback(url: str) -> None:
    import litellm

    from openai_safety_otel.litellm import callback

    litellm.callbacks.append(callback)
    try:
        litellm.responses(model=f"openai/{MODEL}", input=TEXT, api_base=url)
    finally:
        litellm.callbacks.remove(callback)


# --- frameworks that hold an older SDK --------------------------------------------------------------------------


@way("older", "llama-index-llms-openai", "`OpenAI`")
def _llama_index(url: str) -> None:
    from llama_index.llms.openai import OpenAI

    OpenAI(model="gpt-4o", api_base=url).complete(TEXT)


@way("older", "llama-index-llms-openai", "`OpenAIResponses`")
def _llama_index_responses(url: str) -> None:
    from llama_index.llms.openai import OpenAIResponses

    OpenAIResponses(model="gpt-4o", api_base=url).complete(TEXT)


@way("older", "crewai", "`LLM`")
def _crewai(url: str) -> None:
    from crewai import LLM

    LLM(model=f"openai/{MODEL}", base_url=url).call(TEXT)


@way("older", "crewai", '`LLM(api="responses")`')
def _crewai_responses(url: str) -> None:
    from crewai import LLM

    LLM(model=f"openai/{MODEL}", base_url=url, api="responses").call(TEXT)


@way("instructor", "instructor", "`from_openai`")
def _instructor(url: str) -> None:
    import instructor
    import openai
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str

    instructor.from_openai(openai.OpenAI()).chat.completions.create(
        model=MODEL, messages=MESSAGES, response_model=Answer, max_retries=0
    )


@way("instructor", "instructor", "`from_provider`, Responses")
def _instructor_responses(url: str) -> None:
    import instructor
    from pydantic import BaseModel

    class Answer(BaseModel):
        text: str

    mode = instructor.Mode.RESPONSES_TOOLS
    instructor.from_provider(f"openai/{MODEL}", mode=mode).create(
        messages=MESSAGES, response_model=Answer, max_retries=0
    )


def run(call: Callable[[str], Any], url: str) -> None:
    """Call, and wait where it is async."""
    made = call(url)
    if asyncio.iscoroutine(made):
        asyncio.run(made)
