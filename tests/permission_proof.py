"""Whether every permission of template.yaml is of use: ``python -m tests.permission_proof``, after the tests.

The integration tests leave behind which AWS calls the functions made and what was granted to them. Each granted
action is taken away in turn, and some call must then be refused.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from local.permissions import Grant, Need, Role

RECORDS = Path(__file__).parent.parent / ".pytest_cache" / "permissions"
"""Where runtimes leave what they saw: a file each, first what was granted, then one call in each line."""

# Functions, and what they were granted.
Roles = dict[str, tuple[Grant, ...]]


def unused(folder: Path) -> list[str]:
    """The permissions without which every recorded call would still be allowed, one in each text.

    Raises:
        FileNotFoundError: nothing is recorded.
    """
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise FileNotFoundError(f"no records in {folder}: run the integration tests first")
    needed: set[tuple[str, int]] = set()
    granted: dict[str, list[Grant]] = {}
    for file in files:
        head, *lines = map(json.loads, file.read_text().splitlines())
        roles = {name: tuple(Grant(*pair) for pair in pairs) for name, pairs in head.items()}
        granted = {name: list(grants) for name, grants in roles.items()}
        calls: defaultdict[str, list[Need]] = defaultdict(list)
        for line in lines:
            calls[line["function"]].append(Need(line["action"], line["resource"]))
        for name, grants in roles.items():
            needed |= {(name, place) for place in range(len(grants)) if _refused_without(grants, place, calls[name])}
    return [
        f"{name}: {grant.action} on {grant.resource}"
        for name, grants in granted.items()
        for place, grant in enumerate(grants)
        if (name, place) not in needed
    ]


def _refused_without(grants: tuple[Grant, ...], place: int, calls: list[Need]) -> bool:
    less = Role("", grants[:place] + grants[place + 1 :])
    return any(less.refusal(call) for call in calls)


def main() -> int:
    found = unused(RECORDS)
    print("\n".join(found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
