import openai
from celery import Celery, signals

from openai_safety_otel import set_end_user
from openai_safety_otel.who.current import current_end_user

app = Celery("product")
client = openai.OpenAI()


@signals.before_task_publish.connect
def send(headers, **_):
    if person := current_end_user():
        headers["end_user"], headers["end_session"] = person.id, person.session


@signals.task_prerun.connect
def receive(task, **_):
    if not task.request.is_eager:  # an eager task runs where its caller is
        set_end_user(task.request.get("end_user"), session=task.request.get("end_session"))


@signals.task_postrun.connect
def forget(task, **_):
    if not task.request.is_eager:
        set_end_user(None)


@app.task
def summarise(text):
    return client.responses.create(model="gpt-5", input=text).output_text
