"""Documents that are made by machine and committed: written anew, or compared with what is committed."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def main(module: str, document: Path, generate: Callable[[], str], drifts: str) -> int:
    """The command line of a module that makes a document; the exit code is 1 if the document is to be kept and drifts.

    Args:
        module: what follows `python -m`.
        drifts: what is said then, behind the document's name.
    """
    shown = f"docs/{document.name}"
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Generate {shown}.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the committed file drifts")
    if not parser.parse_args().check:
        document.write_text(generate())
        return 0
    if document.exists() and document.read_text() == generate():
        return 0
    print(f"{shown} drifts {drifts}", file=sys.stderr)
    return 1
