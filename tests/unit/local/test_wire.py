"""Questions and answers between two processes: here two ends in one, the answering one on a loop of its own."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from local.servers import LoopThread
from local.wire import Answer, Peer, Questions, Reply, listen

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

Ask = Callable[[str, bytes, float], tuple[str, bytes]]


@pytest.fixture
def asking() -> Iterator[Callable[[Answer], Questions]]:
    """Starts a side that answers; gives what asks it."""
    ours, theirs = socket.socketpair()
    loop = LoopThread()
    stops = []
    questions = Questions(Peer(ours))

    def start(answer: Answer) -> Questions:
        stops.append(loop.run(listen(Peer(theirs), answer)))
        return questions

    yield start
    for stop in stops:
        loop.run(stop())
    loop.close()
    questions.close()
    ours.close()
    theirs.close()


def _echo(line: str, document: bytes, reply: Reply) -> None:
    reply(line, document)


@pytest.mark.parametrize("size", [0, 1, 65_000, 70_000, 6_000_000])
def test_a_document_of_any_size_arrives_whole(asking: Callable[[Answer], Questions], size: int) -> None:
    document = (b"\n" + bytes(range(256))) * (size // 257) + b"\n" * (size % 257)
    assert asking(_echo).ask("é", document, 10) == ("é", document)


def test_answers_find_those_who_asked(asking: Callable[[Answer], Questions]) -> None:
    waiting: list[tuple[str, Reply]] = []

    def in_reverse(line: str, _document: bytes, reply: Reply) -> None:
        waiting.append((line, reply))
        if len(waiting) == 20:
            for one, answer in reversed(waiting):
                answer(one, b"")
            waiting.clear()

    questions = asking(in_reverse)
    with ThreadPoolExecutor(20) as threads:
        for _ in range(3):
            lines = [str(n) for n in range(20)]
            assert [line for line, _ in threads.map(lambda line: questions.ask(line, b"", 10), lines)] == lines


def test_an_answer_that_comes_too_late_is_nobodys(asking: Callable[[Answer], Questions]) -> None:
    late: list[Reply] = []
    heard = threading.Event()

    def slow(line: str, document: bytes, reply: Reply) -> None:
        if line == "slow":
            late.append(reply)
            heard.set()
        else:
            # The one who asked this is gone: nothing is sent, and nothing breaks.
            late.pop()("late", b"")
            reply(line, document)

    questions = asking(slow)
    with pytest.raises(TimeoutError):
        questions.ask("slow", b"", 0.05)
    assert heard.wait(10)
    assert questions.ask("quick", b"", 10) == ("quick", b"")


def test_the_end_of_the_other_side_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    heard = threading.Event()
    loop = LoopThread()
    questions = Questions(Peer(ours))
    with ThreadPoolExecutor(1) as threads, closing(ours), closing(loop):
        with closing(theirs):
            stop = loop.run(listen(Peer(theirs), lambda *_: heard.set()))
            asked = threads.submit(questions.ask, "?", b"", 10)
            assert heard.wait(10)
            loop.run(stop())
        assert isinstance(asked.exception(10), ConnectionResetError)
        with pytest.raises(BrokenPipeError):
            questions.ask("?", b"", 10)
