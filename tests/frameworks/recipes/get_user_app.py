import openai
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from openai_safety_otel import EndUser
from openai_safety_otel.middleware import SafetyMiddleware

client = openai.AsyncOpenAI()


def user_of(scope):
    headers = dict(scope["headers"])
    return EndUser(headers.get(b"x-user", b"").decode())  # nobody, if empty


async def chat(request):
    answer = await client.responses.create(model="gpt-5", input=request.query_params["text"])
    return PlainTextResponse(answer.output_text)


app = SafetyMiddleware(Starlette(routes=[Route("/chat", chat)]), user_of)
