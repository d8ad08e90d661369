"""Agno AgentOS: an agent with one tool, its runs kept in SQLite. Told by environment variables where the stub is."""

import os

import httpx
import uvicorn
from agno.agent import Agent
from agno.db.sqlite import SqliteDb
from agno.models.openai import OpenAIChat
from agno.os import AgentOS

STUB = os.environ["STUB"]
tool = httpx.Client()


def bench_echo(text: str) -> str:
    """Echoes a text"""
    return tool.post(f"{STUB}/echo", json={"text": text}).text


agent = Agent(
    id="bench",
    model=OpenAIChat(id="gpt-4o-mini", base_url=f"{STUB}/v1", api_key="offline"),
    tools=[bench_echo],
    instructions="Use your tools when you are asked to.",
    db=SqliteDb(db_file=f"{os.environ['DATA']}/agno.db"),
    telemetry=False,
)
app = AgentOS(agents=[agent], telemetry=False).get_app()

if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
