"""Copies of agents."""

from collections.abc import Iterator
from itertools import count, islice

from shared.domain import agents, bindings, tools
from shared.domain.agents import Agent, AgentFields
from shared.domain.fields import Model, Name
from shared.errors import ConditionFailed, Conflict, Forbidden, NameTaken
from shared.store import keys
from shared.store.table import TenantStore

_NAMES_TRIED = 100
# A name has 200 characters; what stands behind it in a copy's name must fit too.
_LONGEST_STEM = 180


class AgentClone(Model):
    """The name of the copy; if left out, the first of `<name> (copy)`, `<name> (copy 2)` and so on that is free."""

    name: Name | None = None


def clone(store: TenantStore, ref: str, name: str | None, owner: str, *, may_write: bool) -> Agent:
    """A draft like an agent's working copy, with its bindings; 3 reads at most by id and 1 transaction.

    Args:
        may_write: whether the caller holds `tools:write`, without which nobody binds a tool with `write`.

    Raises:
        NotFound: no such agent.
        Forbidden: it has a tool bound with `write`, and the caller may not.
        NameTaken: the name is taken in this tenant.
        Unprocessable: the name is reserved.
        Conflict: one of the tools was deleted meanwhile.
    """
    item = agents.find(store, ref)
    original, held = agents.read(item), bindings.of_agent(item)
    if not may_write and any(binding.permission_scope == "write" for binding in held):
        raise Forbidden("This needs the scope tools:write.", code="scope_missing")
    fields = {field: getattr(original, field) for field in AgentFields.model_fields}
    copy = agents.new(store, fields | {"name": name or original.name, "status": "draft"}, owner)
    known = tools.get_many(store, list(item.parts))
    bound = [bindings.copied(binding, copy.id) for binding in held if binding.tool_id in known]
    for candidate in [name] if name else islice(_free_names(store, original.name), _NAMES_TRIED):
        try:
            return agents.put(store, copy.model_copy(update={"name": candidate}), bound)
        except NameTaken:
            # Another copy was faster; the next name may be free.
            continue
        except ConditionFailed as error:
            raise Conflict("One of the tools was deleted just now; try again.") from error
    raise NameTaken(f"The name {name!r} is taken." if name else "All names for a copy are taken; give one.")


def _free_names(store: TenantStore, name: str) -> Iterator[str]:
    """Names for a copy that are free at the moment."""
    stem = f"{name[:_LONGEST_STEM]} (copy"
    copies = store.query(keys.names(keys.AGENTS), limit=None, since=stem, before=keys.behind_prefix(stem))
    taken = {item.sort for item in copies.items}
    names = (f"{stem})" if number == 1 else f"{stem} {number})" for number in count(1))
    return (candidate for candidate in names if candidate not in taken)
