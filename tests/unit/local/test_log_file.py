"""A log file that does not grow for ever."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.log_file import LogFile


def test_there_are_two_full_files_at_most_and_no_line_is_torn(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "functions.log", largest=1_000)
    for n in range(1_000):
        print(f"line {n:04} of the log", file=log)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * 1_100
    log.close()
    lines = [
        line for name in ("functions.full.log", "functions.log") for line in (tmp_path / name).read_text().splitlines()
    ]
    assert lines == [f"line {n:04} of the log" for n in range(1_000 - len(lines), 1_000)]
    assert len(lines) >= 50


def test_it_goes_on_with_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "functions.log"
    path.write_text("x" * 990 + "\n")
    log = LogFile(path, largest=1_000)
    log.write("the last one\n")
    log.write("the next\n")
    log.close()
    assert path.read_text() == "the next\n"


def test_many_threads_may_write(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "functions.log", largest=10_000)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: log.write(f"{n:05}\n"), range(5_000)))
    log.close()
    lines = "".join(file.read_text() for file in tmp_path.iterdir()).split()
    assert len(lines) == len(set(lines)) >= 1_600
    assert all(len(line) == 5 for line in lines)
