"""LangGraph's development server: a ReAct agent with one tool. Told by environment variables where the stub is."""

import os

import httpx
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent

STUB = os.environ["STUB"]
client = httpx.AsyncClient()


@tool
async def bench_echo(text: str) -> str:
    """Echoes a text"""
    return (await client.post(f"{STUB}/echo", json={"text": text})).text


model = ChatOpenAI(model="gpt-4o-mini", base_url=f"{STUB}/v1", api_key="offline")
graph = create_react_agent(model, [bench_echo], prompt="Use your tools when you are asked to.")
