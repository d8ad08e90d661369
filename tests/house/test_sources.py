"""Laws of all sources: short files, telling names, and no trace of the machine they were written on."""

import re

from tests.house.repository import files, shown

MAX_LINES = 400
_TEXTS = (".py", ".md", ".yaml", ".yml", ".toml", ".json", ".txt", ".cfg", ".sh", "")
_EMPTY_NAMES = {"util", "utils", "helper", "helpers", "manager", "managers", "misc", "common"}
_MACHINE_PATH = re.compile(r"(?<![\w.:/}-])/(?:work|home|root|Users)/\w[\w.-]*/")


def test_files_are_short() -> None:
    lengths = {shown(file): len(file.read_text().splitlines()) for file in files(".py")}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_LINES}
    assert not long, f"split them by what they are about; at most {MAX_LINES} lines: {long}"


def test_names_say_what_is_inside() -> None:
    vague = [shown(file) for file in files(".py") if {file.stem, file.parent.name} & _EMPTY_NAMES]
    assert not vague, f"name the thing, not that it helps: {vague}"


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{shown(file)}:{number}"
        for file in files(*_TEXTS)
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), start=1)
        if _MACHINE_PATH.search(line)
    ]
    assert not found, f"use paths relative to the repository: {found}"
