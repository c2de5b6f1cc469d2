from concurrent.futures import ThreadPoolExecutor

import openai

from openai_safety_otel import carry

client = openai.OpenAI()
pool = ThreadPoolExecutor(8)


def ask(text):
    return client.responses.create(model="gpt-5", input=text).output_text


def ask_all(texts):
    return list(pool.map(carry(ask), texts))
