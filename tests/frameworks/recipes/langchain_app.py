from langchain_openai import ChatOpenAI

from openai_safety_otel import end_user

model = ChatOpenAI(model="gpt-5")


def answer(user, text):
    with end_user(user):
        return model.invoke(text).content
