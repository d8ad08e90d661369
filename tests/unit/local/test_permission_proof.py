"""A permission that nothing needs is found, and one that something needs is not."""

import json
from pathlib import Path

import pytest

from local.permissions import Grant, Need
from tests import permission_proof
from tests.permission_proof import Record, unused

GET, PUT = Grant("t:Get", "table"), Grant("t:Put", "table")
STOP = Grant("s:Stop", "execution:*")


def test_what_no_call_needs_is_named() -> None:
    record = Record({"F": (GET, PUT), "G": (GET,)}, {"F": [Need("t:Get", "table")]})
    assert unused([record]) == ["F: t:Put on table", "G: t:Get on table"]


def test_a_call_of_any_runtime_counts() -> None:
    elsewhere = Grant("t:Get", "table-of-another-runtime")
    one = Record({"F": (GET, STOP)}, {"F": [Need("t:Get", "table")]})
    other = Record({"F": (elsewhere, STOP)}, {"F": [Need("s:Stop", "execution:one")]})
    assert unused([one, other]) == []


def test_a_permission_that_is_given_twice_is_not_needed() -> None:
    calls = {"F": [Need("t:Get", "table")]}
    assert unused([Record({"F": (GET, GET)}, calls)]) == ["F: t:Get on table"] * 2


@pytest.mark.parametrize("records", [[], [Record({"F": (GET,)}, {}), Record({"F": (PUT,)}, {})]])
def test_records_of_nothing_or_of_different_templates_prove_nothing(records: list[Record]) -> None:
    with pytest.raises(ValueError, match="run the integration tests"):
        unused(records)


def test_the_command_reads_what_runtimes_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(permission_proof, "RECORDS", tmp_path)
    assert permission_proof.main() == 1
    head = {"F": [["t:Get", "table"], ["t:Put", "table"]]}
    call = {"function": "F", "action": "t:Get", "resource": "table"}
    file = tmp_path / "one.jsonl"
    file.write_text("\n".join(map(json.dumps, [head, call])))
    assert permission_proof.main() == 1
    assert "F: t:Put on table" in capsys.readouterr().out
    file.write_text("\n".join(map(json.dumps, [head, call, call | {"action": "t:Put"}])))
    assert permission_proof.main() == 0
    assert "Each of 2 permissions" in capsys.readouterr().out
