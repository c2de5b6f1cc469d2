import openai
from flask import Flask, request, stream_with_context

from openai_safety_otel import set_end_user
from openai_safety_otel.middleware import SafetyWsgiMiddleware

app = Flask(__name__)
app.wsgi_app = SafetyWsgiMiddleware(app.wsgi_app)  # gives the thread back without a user
client = openai.OpenAI()


@app.before_request
def log_in():
    set_end_user(request.headers.get("x-user"), session=request.cookies.get("session"))


@app.get("/chat")
def chat():
    return client.responses.create(model="gpt-5", input=request.args["text"]).output_text


@app.get("/stream")
def stream():
    @stream_with_context
    def words():
        for event in client.responses.create(model="gpt-5", input=request.args["text"], stream=True):
            if event.type == "response.output_text.delta":
                yield event.delta

    return words()
