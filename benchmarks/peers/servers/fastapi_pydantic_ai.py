"""FastAPI, pydantic-ai and SQLite, as a team would put them together. The environment says where the stub is."""

import json
import os
import sqlite3
import uuid
from contextlib import closing
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

STUB, DATABASE = os.environ["STUB"], f"{os.environ['DATA']}/runs.db"
tool = httpx.AsyncClient()
model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(base_url=f"{STUB}/v1", api_key="offline"))
agent = Agent(model, instructions="Use your tools when you are asked to.")
app = FastAPI()


@agent.tool_plain
async def bench_echo(text: str) -> str:
    """Echoes a text"""
    return (await tool.post(f"{STUB}/echo", json={"text": text})).text


class Task(BaseModel):
    input_message: str


def connection() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE, isolation_level=None)


@app.post("/runs")
async def run(task: Task) -> dict[str, Any]:
    run_id = str(uuid.uuid4())
    with closing(connection()) as database:
        database.execute("INSERT INTO runs VALUES (?, 'running', ?, NULL, NULL)", (run_id, task.input_message))
    result = await agent.run(task.input_message)
    usage = json.dumps({"total_tokens": result.usage.total_tokens})
    with closing(connection()) as database:
        ended = "UPDATE runs SET status = 'succeeded', output = ?, usage = ? WHERE id = ?"
        database.execute(ended, (result.output, usage, run_id))
    return {"id": run_id, "status": "succeeded", "output": result.output}


@app.get("/runs/{run_id}")
def read(run_id: str) -> dict[str, Any]:
    with closing(connection()) as database:
        row = database.execute("SELECT id, status, output FROM runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return dict(zip(("id", "status", "output"), row, strict=True))


if __name__ == "__main__":
    with closing(connection()) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE runs (id TEXT PRIMARY KEY, status TEXT, input TEXT, output TEXT, usage TEXT)")
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="warning")
