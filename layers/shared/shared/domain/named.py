"""What agents and tools have in common: an id, a name unique in the tenant, a version, and a soft delete.

The name's guard item and the thing itself change in one transaction, so a name is never taken twice and never lost.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import unquote

from shared import clock
from shared.domain.fields import Record
from shared.errors import ConditionFailed, NameTaken, NotFound, Unprocessable, VersionConflict
from shared.store import keys
from shared.store.ids import is_id
from shared.store.keys import Key
from shared.store.table import Change, Item, Page, Put, Remove, TenantStore, Write
from shared.store.writes import Lists

_UPDATE_ATTEMPTS = 5


class Named(Record):
    """A record with a name."""

    id: str
    name: str
    version: int
    updated_at: str

    @property
    def lists(self) -> Lists:
        """The lists of the table's indexes that the thing stands in."""
        raise NotImplementedError


T = TypeVar("T", bound=Named)


def check_name(name: str, reserved: frozenset[str] = frozenset()) -> None:
    """Refuse names that an address would read as something else.

    Raises:
        Unprocessable: the name is a word of a route, or has the form of an id.
    """
    if name in reserved or is_id(name):
        why = "is a reserved word" if name in reserved else "has the form of an id"
        raise Unprocessable(
            f"The name {why}.",
            errors=[{"loc": ["body", "name"], "msg": f"name {why}", "type": "reserved_name"}],
        )


def create(
    store: TenantStore,
    kind: str,
    thing: T,
    more: Sequence[Write] = (),
    parts: Mapping[str, str] | None = None,
) -> T:
    """Store a new thing under its name; 1 transaction.

    Raises:
        NameTaken: another thing of this kind has the name.
        ConditionFailed: one of `more` failed.
    """
    try:
        store.write(*creation(kind, thing, parts), *more)
    except ConditionFailed as error:
        if 0 in error.failed and (item := store.get(Key(kind, thing.id))):
            # The id was reserved by an idempotent request whose first try got as far as this.
            return type(thing).model_validate_json(item.doc)
        if 1 in error.failed:
            raise NameTaken(f"The name {thing.name!r} is taken.") from error
        raise
    return thing


def id_of(store: TenantStore, kind: str, name: str) -> str | None:
    """The id of the thing with this name; 1 request."""
    guard = store.get(keys.name(kind, name)) if 0 < len(name) <= 200 else None
    return str(json.loads(guard.doc)) if guard else None


def creation(kind: str, thing: Named, parts: Mapping[str, str] | None = None) -> list[Write]:
    """The writes that store a new thing under its name: the thing, then the guard of its name."""
    return [
        Put(Key(kind, thing.id), thing.model_dump_json(), version=thing.version, parts=parts or {}, lists=thing.lists),
        Put(keys.name(kind, thing.name), json.dumps(thing.id)),
    ]


def find(store: TenantStore, kind: str, ref: str, label: str) -> Item:
    """A thing by id (1 request) or by name (2 requests).

    Args:
        label: how to call it in the error, such as ``agent``.

    Raises:
        NotFound: no such thing in this tenant.
    """
    ref = unquote(ref)
    thing_id = ref if is_id(ref) else id_of(store, kind, ref)
    item = store.get(Key(kind, thing_id)) if thing_id else None
    if item is None:
        raise NotFound(f"No such {label}.")
    return item


def update(
    store: TenantStore,
    kind: str,
    ref: str,
    label: str,
    *,
    read: Callable[[Item], T],
    change: Callable[[T], T | None],
    expected: int | None,
    more: Callable[[T, Item], Sequence[Write]] = lambda new, item: (),
) -> T:
    """Read, change and write back, on the condition that nobody else wrote in between.

    Args:
        change: gets the thing with its next version and gives what it is to be; None if it is that already.
        expected: the version of `If-Match`; without it, a lost race is tried again on the newer version.
        more: writes that belong to the change, made from the new thing and its item as read. If there are any, the
            item's parts must not have changed either.

    Raises:
        NotFound, NameTaken: as above.
        VersionConflict: the thing is not in the expected version.
        ConditionFailed: one of `more` failed, and nothing else.
    """
    for _ in range(_UPDATE_ATTEMPTS):
        item = find(store, kind, ref, label)
        if expected is not None and item.version != expected:
            raise VersionConflict(f"The {label} is in version {item.version}, not {expected}.")
        old = read(item)
        new = change(old.model_copy(update={"version": old.version + 1, "updated_at": clock.now()}))
        if new is None:
            return old
        added = more(new, item)
        parts = item.parts if added else None
        writes: list[Write] = [
            Change(Key(kind, old.id), doc=new.model_dump_json(), when=item.version, parts=parts, lists=new.lists)
        ]
        if new.name != old.name:
            writes += [Put(keys.name(kind, new.name), json.dumps(new.id)), Remove(keys.name(kind, old.name))]
        try:
            store.write(*writes, *added)
        except ConditionFailed as error:
            if new.name != old.name and 1 in error.failed:
                raise NameTaken(f"The name {new.name!r} is taken.") from error
            if min(error.failed) >= len(writes):
                raise
            continue
        return new
    raise VersionConflict(f"The {label} is being changed by others; read it and try again.")


def remove(store: TenantStore, kind: str, item: Item, thing: Named, more: Sequence[Write] = ()) -> None:
    """Soft delete: gone from every read and list, the name free again, the record kept for audit; 1 transaction.

    Raises:
        ConditionFailed: the thing changed since it was read.
    """
    record = json.loads(item.doc) | {"deleted_at": clock.now()}
    store.write(
        Remove(Key(kind, thing.id), when=item.version, parts=item.parts),
        Put(keys.deleted(kind, thing.id), json.dumps(record, ensure_ascii=False), when=None, parts=item.parts),
        Remove(keys.name(kind, thing.name)),
        *more,
    )


def newest(store: TenantStore, kind: str, limit: int, after: str | None) -> Page:
    """A page of things, newest first; 1 request."""
    return store.query(kind, limit=limit, after=after, newest_first=True)
