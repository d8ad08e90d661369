"""anymind.yaml: what is read of it, and that code is looked at and never run."""

import sys
from typing import Any

import pytest

from shared.domain import manifests
from shared.errors import BuildFailed

LEAST = "name: parrot\nentrypoint: agent.main:handle\n"
RUNNING = f"3.{sys.version_info.minor}"


def refusal(text: str | bytes) -> BuildFailed:
    with pytest.raises(BuildFailed) as refused:
        manifests.read(text.encode() if isinstance(text, str) else text)
    return refused.value


def test_the_least_that_it_says() -> None:
    read = manifests.read(LEAST.encode())
    assert read.model_dump() == {
        "name": "parrot",
        "entrypoint": "agent.main:handle",
        "python": None,
        "timeout_seconds": 30,
        "memory": 512,
        "requirements": [],
    }
    assert (read.module, read.callable) == ("agent/main", "handle")


def test_all_that_it_can_say() -> None:
    text = f"""---
# An agent.
name: "A \\"parrot\\""   # with quotes
entrypoint: 'agent.main:handle'

python: "{RUNNING}"
timeout_seconds: 5
memory: 1024
requirements:
  - requests==2.32.3
  # pinned
  - "idna"
"""
    read = manifests.read(text.encode())
    assert (read.name, read.timeout_seconds, read.memory) == ('A "parrot"', 5, 1024)
    assert read.requirements == ["requests==2.32.3", "idna"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[]", []),
        ("[a, b]", ["a", "b"]),
        ("[a, 'b==1', \"c\",]", ["a", "b==1", "c"]),
        ("[a]  # why", ["a"]),
        ("\n- a\n- b", ["a", "b"]),
    ],
)
def test_lists_stand_in_brackets_or_on_lines(text: str, found: list[str]) -> None:
    assert manifests.read(f"{LEAST}requirements: {text}\n".encode()).requirements == found


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("memory: *all", "line 3: '*'"),
        ("memory: &all 512", "line 3: '&'"),
        ("memory: !!python/object/apply:os.system [id]", "line 3: '!'"),
        ("memory: {a: 1}", "line 3: '{'"),
        ("memory: |", "line 3: '|'"),
        ("requirements: [a, [b]]", "line 3: a list in brackets"),
        ("requirements: [a", "line 3: a list in brackets must end"),
        ("requirements:\n  - a: b", "line 4"),
        ("- loose", "line 3: an item stands outside"),
        ("nested:\n  key: value", "line 4: it is neither"),
        ("name: again", "line 3: name stands twice"),
        ("memory: 'open", "line 3: a quote"),
        ('memory: "\\x"', "line 3: the text in double quotes"),
        ("a\tb: c", "line 3: it holds a tab"),
        ("x" * 1_001, "line 3: it holds"),
        ("requirements: [" + "a," * 101 + "]", "line 3: a list in brackets takes"),
        ("requirements:\n" + "- a\n" * 101, "line 104: a list has more"),
        ("no_such_field: 1", "no_such_field: Extra inputs"),
        ("timeout_seconds: 31", "timeout_seconds: "),
        ("timeout_seconds: 0", "timeout_seconds: "),
        ('timeout_seconds: "5"', "timeout_seconds: "),
        ("memory: 64", "memory: "),
        ("memory: 2048", "memory: "),
        ("python: '2.7'", "python: "),
        ("python: '3.99'", "python: it asks for 3.99"),
        ("requirements: [https://example.com/x.whl]", "requirements.0: "),
        ("requirements: ['--index-url=x']", "requirements.0: "),
        ("requirements: ['../x']", "requirements.0: "),
        ("requirements: [a>=1]", "requirements.0: "),
        ("requirements: a", "requirements: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(more: str, said: str) -> None:
    error = refusal(f"{LEAST}{more}\n")
    assert error.reason == "bad_manifest"
    assert error.detail.startswith(f"anymind.yaml: {said}")


def test_the_version_of_python_needs_no_quotes() -> None:
    """YAML would make it a number; here it is the text that it looks like."""
    assert manifests.read(f"{LEAST}python: {RUNNING}\n".encode()).python == RUNNING


@pytest.mark.parametrize(
    "text", [b"", b"name: x\n", b"\xff\xfe", b"\xef\xbb\xbfname: x\n", b"[]", b"name:\nentrypoint:\n"]
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    assert refusal(text).reason == "bad_manifest"


@pytest.mark.parametrize(
    "entrypoint",
    [
        "main",
        "agent.main",
        "agent.main:",
        ":handle",
        "agent/main:handle",
        "../x:y",
        "a..b:c",
        "a.b:c.d",
        "a.b:c()",
        "1a:b",
    ],
)
def test_an_entrypoint_is_a_module_and_a_name(entrypoint: str) -> None:
    assert "entrypoint: " in refusal(f"name: x\nentrypoint: '{entrypoint}'\n").detail


def test_the_file_of_the_entrypoint() -> None:
    manifest = manifests.read(LEAST.encode())
    assert manifests.source_of(manifest, {"agent/main.py": 10}) == "agent/main.py"
    assert manifests.source_of(manifest, {"agent/main/__init__.py": 10}) == "agent/main/__init__.py"
    for files in ({}, {"agent/Main.py": 10}, {"main.py": 10}, {"agent/main.py": 1_000_001}):
        with pytest.raises(BuildFailed) as refused:
            manifests.source_of(manifest, files)
        assert refused.value.reason == "no_entrypoint"


CALLABLE = [
    "def handle(payload): return payload",
    "def handle(payload, more=None): ...",
    "def handle(*everything): ...",
    "class handle:\n    def __init__(self, payload): ...",
    "handle = lambda payload: payload",
    "from .other import handle",
    "import other as handle",
    "from functools import partial\nhandle = partial(print, 1)",
    "if True:\n    def handle(payload): ...",
    "try:\n    from fast import handle\nexcept ImportError:\n    def handle(payload): ...",
    "def handle(): ...\ndef handle(payload): ...",
]
NOT_CALLABLE = [
    ("", "no_entrypoint"),
    ("def other(payload): ...", "no_entrypoint"),
    ("class Agent:\n    def handle(self, payload): ...", "no_entrypoint"),
    ("def outer():\n    def handle(payload): ...", "no_entrypoint"),
    ("handle = 1", "not_callable"),
    ("handle = {}", "not_callable"),
    ("handle: str = 'x'", "not_callable"),
    ("def handle(): ...", "not_callable"),
    ("def handle(a, b): ...", "not_callable"),
    ("def handle(payload, *, needed): ...", "not_callable"),
    ("handle = lambda: 1", "not_callable"),
    ("async def handle(payload): ...", "not_callable"),
    ("def handle(payload)", "bad_source"),
    ("def handle(payload): \x00", "bad_source"),
    ("handle = " + "(" * 5_000, "bad_source"),
    ("handle = " + "-" * 100_000 + "1", "bad_source"),
    ("x = '\\d'\nwhat this is not", "bad_source"),
]


def check(source: Any) -> None:
    manifests.check_callable(manifests.read(LEAST.encode()), "agent/main.py", source)


@pytest.mark.parametrize("source", CALLABLE)
def test_what_can_be_called(source: str) -> None:
    check(source.encode())


@pytest.mark.parametrize(("source", "reason"), NOT_CALLABLE, ids=range(len(NOT_CALLABLE)))
def test_what_cannot_be_called(source: str, reason: str) -> None:
    with pytest.raises(BuildFailed) as refused:
        check(source.encode())
    assert refused.value.reason == reason


def test_nothing_of_the_code_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    check(b"print('run')\nraise SystemExit\ndef handle(payload=print('run')): ...")
    assert capsys.readouterr() == ("", "")
