"""A run of an agent: what goes in, what comes out, and what stays."""

import os
import threading
from pathlib import Path

import pytest

from shared.sandbox import results, runs
from tests.unit.support.sandbox import GOOD, SMALL, call, write

pytestmark = pytest.mark.usefixtures("place")


def test_the_payload_goes_in_and_the_result_comes_out(place: Path) -> None:
    outcome = call(place, GOOD, {"input": "Grüße", "more": [1, 2.5, None, True]})
    assert outcome.status == "succeeded"
    assert outcome.reason == "completed"
    assert outcome.result == '{"got":{"input":"Grüße","more":[1,2.5,null,true]}}'
    assert outcome.error is None


def test_a_large_payload_goes_in(place: Path) -> None:
    outcome = call(place, "def handle(payload): return len(payload)", "x" * 1_000_000)
    assert outcome.result == "1000000"


def test_an_agent_has_threads_event_loops_files_and_the_standard_library(place: Path) -> None:
    source = """
        import asyncio, concurrent.futures, decimal, hashlib, os, random, sqlite3, tempfile, zoneinfo

        async def one(): return 1

        def handle(payload):
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                total = sum(pool.map(int, "1234"))
            with tempfile.NamedTemporaryFile("w") as file:
                file.write("x")
            random.random()
            zoneinfo.ZoneInfo("Europe/Berlin") if zoneinfo.TZPATH and os.path.isdir("/usr/share/zoneinfo") else None
            rows = sqlite3.connect(":memory:").execute("select 2").fetchone()
            return [total, asyncio.run(one()), rows[0], os.listdir("."), sorted(os.environ)]
    """
    outcome = call(place, source)
    assert outcome.result == '[10,1,2,[],["HOME","LANG","PATH","TMPDIR"]]', outcome


def test_what_it_prints_and_logs_becomes_lines_with_levels(place: Path) -> None:
    source = r"""
        import logging, os, sys

        def handle(payload):
            print("plain")
            print("to the other", file=sys.stderr)
            logging.getLogger("mine").warning("careful")
            logging.info("quiet")
            logging.debug("never seen")
            os.write(1, b"no text: \xff\x00\n")
            os.write(1, b"without an end")
    """
    outcome = call(place, source)
    assert {(line.level, line.message) for line in outcome.logs} == {
        ("INFO", "plain"),
        ("ERROR", "to the other"),
        ("WARNING", "WARNING:mine:careful"),
        ("INFO", "INFO:root:quiet"),
        ("INFO", "no text: \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        ("INFO", "without an end"),
    }


def test_lines_are_cut_and_counted() -> None:
    lines = results.Lines("INFO")
    for _ in range(3):
        lines.feed(b"x" * results.MAX_LINE * 3)
    lines.feed(b"\n" + b"y\n" * 2 * results.MAX_LINES)
    lines.end()
    assert len(lines.found) == results.MAX_LINES
    assert len(lines.found[0].message) == results.MAX_LINE


def test_an_error_is_told_with_the_agents_own_frames(place: Path) -> None:
    outcome = call(place, "def handle(payload):\n    raise ValueError('x' * 9999)\n")
    assert (outcome.status, outcome.reason) == ("failed", "agent_error")
    assert outcome.error == f"ValueError: {'x' * 2000}"
    assert outcome.logs[0].message == "Traceback (most recent call last):"
    assert outcome.logs[1].message.endswith('main.py", line 2, in handle')


@pytest.mark.parametrize(
    ("entrypoint", "reason"),
    [
        ("main:nothing", "entrypoint_missing"),
        ("main:VALUE", "entrypoint_missing"),
        ("main:", "entrypoint_missing"),
        ("nowhere:handle", "import_failed"),
        ("", "import_failed"),
    ],
)
def test_an_entrypoint_that_is_none(place: Path, entrypoint: str, reason: str) -> None:
    outcome = runs.run(write(place, GOOD + "VALUE = 1\n"), entrypoint, None, SMALL)
    assert (outcome.status, outcome.reason) == ("failed", reason)


def test_libraries_lie_behind_the_standard_library(place: Path) -> None:
    write(place, "import json, mine\ndef handle(payload): return [json.loads('1'), mine.VALUE]\n")
    (place / "libraries").mkdir()
    (place / "libraries" / "mine.py").write_text("VALUE = 2\n")
    (place / "libraries" / "json.py").write_text("def loads(text): return 'not the real one'\n")
    assert runs.run(place, "main:handle", None, SMALL, libraries="libraries").result == "[1,2]"


def test_an_agent_may_have_a_package_called_as_ours(place: Path) -> None:
    write(place, "from shared import mine\ndef handle(payload): return mine.VALUE\n")
    (place / "shared").mkdir()
    (place / "shared" / "__init__.py").touch()
    (place / "shared" / "mine.py").write_text("VALUE = 7\n")
    assert runs.run(place, "main:handle", None, SMALL).result == "7"


@pytest.mark.parametrize(
    "source",
    [
        """
        import os, threading, time
        def work():
            while True:
                print("still here", flush=True)
                time.sleep(0.01)
        def handle(payload):
            threading.Thread(target=work).start()
            return 1
        """,
        """
        import atexit, os, time
        os._exit = lambda code: None
        atexit.register(time.sleep, 60)
        def handle(payload): return 1
        """,
    ],
    ids=["a thread that outlives the answer", "an end that is none"],
)
def test_nothing_runs_on_behind_the_answer(place: Path, source: str) -> None:
    outcome = call(place, source)
    assert (outcome.status, outcome.result) == ("succeeded", "1")
    assert outcome.duration_ms < SMALL.seconds * 1000


def test_what_it_writes_of_its_own_accord_is_a_result_like_any_other(place: Path) -> None:
    """A forged answer is the agent's own answer: it is checked as such, and gains nothing."""
    source = """
        import os, time
        def handle(payload):
            for file in range(3, 256):
                try:
                    os.write(file, b'{"result": {"forged": true}, "walls": ["all"], "status": "paid"}\\n')
                except OSError:
                    pass
            time.sleep(60)
    """
    outcome = call(place, source)
    assert (outcome.status, outcome.result) == ("succeeded", '{"forged":true}')
    assert "all" not in outcome.walls


def test_a_run_is_stopped_when_somebody_asks_for_it(place: Path) -> None:
    asked = threading.Event()

    def stopped() -> bool:
        asked.set()
        return True

    outcome = call(place, "import time\ndef handle(payload): time.sleep(60)\n", stopped=stopped)
    assert (outcome.status, outcome.reason) == ("cancelled", "cancelled")
    assert asked.is_set()


def test_nothing_stays_of_a_run(place: Path) -> None:
    source = """
        import os
        def handle(payload):
            found = os.listdir(".") + os.listdir(os.environ["TMPDIR"])
            open("kept", "w").write("x")
            return found
    """
    for n in range(2):
        assert call(place.with_name(f"agent{n}"), source).result == "[]"
    assert list((place.parent / "runs").iterdir()) == []


def test_runs_at_once_know_nothing_of_each_other(place: Path) -> None:
    source = """
        import os, time
        def handle(payload):
            open(payload, "w").close()
            time.sleep(0.3)
            return [os.listdir("."), os.getpid()]
    """
    found: dict[int, str | None] = {}

    def one(n: int) -> None:
        found[n] = call(place.with_name(f"agent{n}"), source, f"mine-{n}").result

    threads = [threading.Thread(target=one, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f'["mine-{n}"]' in (found[n] or "") for n in range(4)), found


def test_a_folder_of_any_depth_is_wiped(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    os.symlink(tmp_path, top / "link")
    (tmp_path / "stays").touch()
    before = os.getcwd()
    os.chdir(top)
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
    os.chdir(before)
    runs.wipe(top)
    assert not top.exists()
    assert (tmp_path / "stays").exists()


def test_a_folder_is_measured_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a").write_bytes(b"x" * 10_000)
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    assert runs.fills(tmp_path / "folder", 8_000, 100)
    assert runs.fills(tmp_path / "folder", 10**6, 1)
    assert not runs.fills(tmp_path / "folder", 10**6, 2)
