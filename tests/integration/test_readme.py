"""The README's walk, command by command: what it prints is what a stranger gets."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from local.runtime import Runtime

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.compile(r"```(bash|json)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^(?!\A)(?=\w)", re.MULTILINE)
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def steps() -> list[tuple[str, Any]]:
    """Each curl command of the walk with the answer printed below it."""
    walk = README.read_text().split("## The walk")[1].split("## What else it does")[0]
    blocks = [match.groups() for match in BLOCKS.finditer(walk)]
    assert [kind for kind, _ in blocks] == ["bash"] + ["bash", "json"] * (len(blocks) // 2)
    commands = [text for kind, text in blocks if kind == "bash"][1:]
    answers = [text for kind, text in blocks if kind == "json"]
    return [(command, json.loads(answer)) for command, answer in zip(commands, answers, strict=True)]


def more_commands() -> list[str]:
    """The commands behind the walk, but for those that set variables."""
    section = README.read_text().split("## What else it does")[1].split("## A real model")[0]
    blocks = [text for kind, text in BLOCKS.findall(section) if kind == "bash"]
    return [command for block in blocks for command in COMMAND.split(block) if not command.startswith("export ")]


def send(command: str) -> httpx.Response:
    """The answer to a curl command."""
    words = shlex.split(command)
    assert words[0] == "curl"
    assert words[1] in {"-s", "-sN"}
    url, headers, body, method = "", {}, None, None
    rest = iter(words[2:])
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif word == "-X":
            method = next(rest)
        else:
            url = word
    method = method or ("GET" if body is None else "POST")
    return httpx.request(method, url, headers=headers, content=body, timeout=30)


def normal(value: Any) -> Any:
    """The answer without what differs from one walk to the next."""
    text = TIME.sub("<time>", ID.sub("<id>", json.dumps(value)))
    return json.loads(re.sub(r'"duration_ms": \d+', '"duration_ms": 0', text))


def test_the_walk_works_as_printed(platform: Runtime) -> None:
    run_id = ""
    for command, printed in steps():
        ready = command.replace("http://127.0.0.1:8001", platform.tools_url).replace("$RUN", run_id)
        answer = send(ready.replace("$URL", platform.url).replace("$KEY", platform.admin_key)).json()
        assert normal(answer) == json.loads(
            json.dumps(normal(printed)).replace("http://127.0.0.1:8001", platform.tools_url)
        )
        if isinstance(answer, dict) and answer.get("status") == "succeeded":
            run_id = answer["id"]
    assert run_id
    for command in more_commands():
        ready = command.replace("$URL", platform.url).replace("$KEY", platform.admin_key).replace("$RUN", run_id)
        if ready.startswith("python3 "):
            subprocess.run([sys.executable, *shlex.split(ready)[1:]], cwd=README.parent, check=True, timeout=120)
            continue
        done = send(ready.replace("$H", "Content-Type: application/json"))
        assert done.is_success, f"{command}: {done.text}"
