import litellm

from openai_safety_otel import end_user


def answer(user, text):
    with end_user(user):
        return litellm.completion(model="openai/gpt-5", messages=[{"role": "user", "content": text}])
