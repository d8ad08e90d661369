"""Make the operator's tenant and its first key, by which all other tenants are made (POST /tenants).

The key may do everything in its own tenant, and make, change and suspend tenants. It is shown once, on the terminal,
and kept nowhere: where the output is no terminal it must go to a file of its own (--key-file).

Where the tenant exists already the command refuses. If its key was lost, --new-key makes another one.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from operations import command, stack
from operations.command import Refused
from shared.domain import api_keys, tenant_directory, tenants
from shared.domain.api_keys import ApiKeyCreate
from shared.domain.scopes import ADMIN, PLATFORM
from shared.domain.tenant_directory import TenantCreate
from shared.errors import Conflict, NotFound
from shared.store.all_tenants import AllTenants

SCOPES = frozenset({ADMIN, *PLATFORM})


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--tenant", default="operator", metavar="ID", help="the tenant's id (default: operator)")
    parser.add_argument("--new-key", action="store_true", help="the tenant exists: make another key of the operator")
    parser.add_argument("--key-file", metavar="FILE", help="write the key to this new file, which only you can read")
    arguments = parser.parse_args()
    if not tenants.is_id(arguments.tenant):
        raise Refused(f"{arguments.tenant} is no id of a tenant: letters, digits, - and _, at most 64.")
    deployed = stack.opened(arguments.stack, arguments.region)
    with ExitStack() as undo:
        terminal = _terminal(arguments.key_file, undo)
        key = (another_key if arguments.new_key else first_key)(AllTenants(), arguments.tenant)
        print(key, file=terminal, flush=True)
    shown = f'"$(cat {arguments.key_file})"' if arguments.key_file else "<the key above>"
    print("\nThe key is not shown again. With it tenants are made, such as:\n")
    print(f"  curl -s {deployed.outputs['ApiUrl']}/tenants -H X-API-Key:{shown} \\")
    print("""    -H Content-Type:application/json -d '{"id": "acme", "name": "Acme"}'""")


def first_key(everyone: AllTenants, tenant_id: str) -> str:
    """Make the tenant; the operator's key.

    Raises:
        Refused: it exists.
    """
    draft = TenantCreate(id=tenant_id, name="Operator", plan="unlimited")
    try:
        made = tenant_directory.create(everyone, draft, SCOPES)
    except Conflict as error:
        raise Refused(f"The tenant {tenant_id} exists. If its key was lost, --new-key makes another one.") from error
    return made.admin_key or ""


def another_key(everyone: AllTenants, tenant_id: str) -> str:
    """Another key of the operator, in a tenant that exists.

    Raises:
        Refused: there is no such tenant.
    """
    try:
        tenant_directory.get(everyone, tenant_id)
    except NotFound as error:
        raise Refused(f"There is no tenant {tenant_id}.") from error
    draft = ApiKeyCreate(name="Operator", scopes=sorted(SCOPES))
    made = api_keys.create(everyone.store_of(tenant_id), draft, user_id=f"{tenant_id}-admin", granted=SCOPES)
    return made.key or ""


def _terminal(key_file: str | None, undo: ExitStack) -> TextIO:
    """Where the key is shown, opened before there is one.

    Raises:
        Refused: it would stand in a log, or the file exists.
    """
    if key_file is None:
        if not sys.stdout.isatty():
            raise Refused("The output is no terminal, and a key must not stand in a log: say --key-file FILE.")
        return sys.stdout
    try:
        opened = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Refused(f"{key_file} exists.") from error
    undo.callback(_remove_empty, Path(key_file))
    return undo.enter_context(os.fdopen(opened, "w"))


def _remove_empty(file: Path) -> None:
    """No key was made: the same command can be tried again."""
    if file.stat().st_size == 0:
        file.unlink()


if __name__ == "__main__":
    command.run(main)
