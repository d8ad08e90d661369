"""What all commands share: which stack they are about, and how they end."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import PlatformError, StoreError


class Refused(Exception):
    """The command will not do it, and says why in a sentence for the operator."""


def parser(described: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments of every command.

    Args:
        described: the docstring of the command's module; `--help` shows it.
    """
    made = argparse.ArgumentParser(
        prog=f"python -m operations.{Path(sys.argv[0]).stem}",
        description=described,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--stack", required=True, metavar="NAME", help="the deployed stack, such as agent-platform-dev")
    made.add_argument("--region", help="where it is deployed; else as AWS's own tools find it")
    return made


def run(main: Callable[[], None]) -> None:
    """Run a command: exit status 1 and one line on standard error where it cannot be done."""
    try:
        main()
    except (Refused, PlatformError, StoreError, ClientError, BotoCoreError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        sys.exit("Stopped. What was done is done; the same command goes on from here.")
