from typing import Annotated

import openai
from fastapi import Cookie, Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from openai_safety_otel import report_issue, set_end_user
from openai_safety_otel.middleware import SafetyMiddleware


def log_in(x_user: Annotated[str | None, Header()] = None, session: Annotated[str | None, Cookie()] = None):
    set_end_user(x_user, session=session)  # a visitor has only a session; later both, linked


app = FastAPI(dependencies=[Depends(log_in)])
app.add_middleware(SafetyMiddleware)  # carries the user out of the sync dependency's thread
client = openai.AsyncOpenAI()


@app.get("/chat")
async def chat(text: str):
    answer = await client.responses.create(model="gpt-5", input=text)
    return {"id": answer.id, "text": answer.output_text}


@app.get("/stream")
def stream(text: str):
    async def words():
        async for event in await client.responses.create(model="gpt-5", input=text, stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    return StreamingResponse(words(), media_type="text/plain")


@app.post("/report/{answer}")
def report(answer: str):
    report_issue(answer, "harmful")
