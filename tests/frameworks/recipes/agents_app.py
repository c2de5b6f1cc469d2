from agents import Agent, Runner

from openai_safety_otel import end_user

agent = Agent(name="helper", instructions="Be kind.", model="gpt-5")


async def answer(user, text):
    async with end_user(user):
        result = await Runner.run(agent, text)
    return result.final_output
