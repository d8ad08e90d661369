"""Whether every permission of the functions is of use: ``python -m tests.permission_proof``, after the tests.

The integration tests leave behind which AWS calls the functions made and what was granted to them. Each granted
action on each resource is taken away in turn, and some call must then be refused.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.permissions import Grant, Need, Role

RECORDS = Path(__file__).parent.parent / ".pytest_cache" / "permissions"
"""Where runtimes leave what they saw: a file each, first what was granted, then one call in each line."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one runtime saw: the grants of each function, and the calls that were allowed."""

    granted: Mapping[str, tuple[Grant, ...]]
    calls: Mapping[str, list[Need]]


def read(file: Path) -> Record:
    """A runtime's record."""
    head, *lines = map(json.loads, file.read_text().splitlines())
    calls: defaultdict[str, list[Need]] = defaultdict(list)
    for line in lines:
        calls[line["function"]].append(Need(line["action"], line["resource"]))
    return Record({name: tuple(Grant(*pair) for pair in pairs) for name, pairs in head.items()}, calls)


def unused(records: list[Record]) -> list[str]:
    """The permissions without which every recorded call would still be allowed, such as ``Name: action on resource``.

    Raises:
        ValueError: nothing is recorded, or the records are of different templates.
    """
    if not records:
        raise ValueError("nothing is recorded: run the integration tests first")
    # The names of resources differ from one runtime to the next, but not their order.
    if len({tuple((name, *map(_action, grants)) for name, grants in one.granted.items()) for one in records}) > 1:
        raise ValueError("the records are of different templates: run the integration tests again")
    return [
        f"{name}: {grant.action} on {grant.resource}"
        for name, grants in records[0].granted.items()
        for place, grant in enumerate(grants)
        if not any(_refused_without(place, record.granted[name], record.calls.get(name, [])) for record in records)
    ]


def _action(grant: Grant) -> str:
    return grant.action


def _refused_without(place: int, grants: tuple[Grant, ...], calls: list[Need]) -> bool:
    less = Role("", grants[:place] + grants[place + 1 :])
    return any(less.refusal(call) for call in calls)


def main() -> int:
    """Say which permissions are of no use; the exit code is 1 if there are any."""
    try:
        records = [read(file) for file in sorted(RECORDS.glob("*.jsonl"))]
        found = unused(records)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if found:
        print(
            "No test needs these permissions. Take them out of template.yaml, or test what needs them:",
            *found,
            sep="\n",
        )
        return 1
    print(f"Each of {sum(map(len, records[0].granted.values()))} permissions is needed by a call of the tests.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
