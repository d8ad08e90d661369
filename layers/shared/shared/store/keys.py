"""Where each thing lives in the table. The only file that knows key strings.

A tenant's partition key is ``TENANT#<tenant id>#<partition>``; `TenantStore` adds that prefix, so nothing here or above
can name another tenant's data. Partitions go below the tenant so that no list shares one hot partition.
"""

from typing import Literal, NamedTuple


class Key(NamedTuple):
    """Partition (below the tenant) and sort key of one item."""

    partition: str
    sort: str


class DirectoryKey(NamedTuple):
    """The one kind of key outside every tenant: what must be found before it is known whose it is."""

    partition: str
    sort: str


def of_tenant(tenant_id: str) -> str:
    """How all of a tenant's partition keys begin."""
    return f"TENANT#{tenant_id}#"


Index = Literal["in_group", "in_label"]
"""An index of the table, which bears the name of its attribute."""
GROUP: Index = "in_group"
"""Things by the state that they are in; sorted by id."""
LABEL: Index = "in_label"
"""Things by the label that they bear; sorted by id."""

AGENTS = "AGENT"
TOOLS = "TOOL"
API_KEYS = "API_KEY"
RUNS = "RUN"
SESSIONS = "SESSION_LIST"
"""The sessions in the order in which they began."""
AUDIT = "AUDIT"
USAGE = "USAGE"
CATEGORIES = "TOOL_CATEGORY"
TENANTS = "TENANT"
OPERATOR = "_operator"
"""Whose the list of all tenants is. No tenant's id begins with an underscore."""

TENANT = Key(TENANTS, "TENANT")
"""The record of the tenant in whose partitions it stands."""
USERS = "USER"

ADMINISTRATORS = Key("ADMINISTRATORS", "ADMINISTRATORS")
"""The ids of a tenant's active administrators, in one item, so that the last one cannot go."""


HEALTH = Key("HEALTH", "HEALTH")
"""Nothing is ever there: asked for to see whether the table answers."""


def agent(agent_id: str) -> Key:
    return Key(AGENTS, agent_id)


def tool(tool_id: str) -> Key:
    return Key(TOOLS, tool_id)


def api_key(key_id: str) -> Key:
    return Key(API_KEYS, key_id)


def user(user_id: str) -> Key:
    return Key(USERS, user_id)


def run(run_id: str) -> Key:
    return Key(RUNS, run_id)


def names(kind: str) -> str:
    """The partition of a kind's names, in their order."""
    return f"{kind}_NAME"


def name(kind: str, value: str) -> Key:
    """The guard item that makes a name unique in its tenant."""
    return Key(names(kind), value)


def group(kind: str, variety: str, status: str) -> str:
    """The list in the index `GROUP` of the things of one variety in one status."""
    return f"{kind}#{variety}#{status}"


def label(kind: str, text: str) -> str:
    """The list in the index `LABEL` of the things that bear this label."""
    return f"{kind}#{text}"


def behind_prefix(prefix: str) -> str | None:
    """The first sort key behind all that begin so; None if there is none behind them."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    # Sort keys are ordered by their UTF-8 bytes, and so by code points; surrogates are none.
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)


def agent_versions(agent_id: str) -> str:
    """The partition of what an agent was each time it was published, sorted by version."""
    return f"AGENT#{agent_id}#VERSION"


def agent_version(agent_id: str, version: int) -> Key:
    return Key(agent_versions(agent_id), f"{version:010d}")


def published(agent_id: str, version_id: str) -> Key:
    """The guard item that lets an agent be published once under the id of a version."""
    return Key(f"AGENT#{agent_id}#PUBLISHED", version_id)


def deleted(kind: str, thing_id: str) -> Key:
    """Where a soft-deleted thing is kept for audit."""
    return Key(f"DELETED#{kind}", thing_id)


def users_of_tool(tool_id: str) -> str:
    """The partition that lists the agents which a tool is bound to."""
    return f"TOOL#{tool_id}#AGENT"


def use_of_tool(tool_id: str, agent_id: str) -> Key:
    return Key(users_of_tool(tool_id), agent_id)


def run_log(run_id: str) -> str:
    """The partition of a run's event log."""
    return f"RUN#{run_id}"


def log_batch(run_id: str, first: int) -> Key:
    """The batch of events that begins with number `first`; two writers of one number collide here."""
    return Key(run_log(run_id), f"EVENT#{first:06d}")


def runs_of_agent(agent_id: str) -> str:
    """The partition that lists an agent's runs."""
    return f"AGENT#{agent_id}#RUN"


def run_of_agent(agent_id: str, run_id: str) -> Key:
    return Key(runs_of_agent(agent_id), run_id)


def waiting_run(run_id: str) -> Key:
    """The plan of a run that waits in its session's queue."""
    return Key("WAITING", run_id)


def session(session_id: str) -> Key:
    """The head of a session: its lock and its queue."""
    return Key("SESSION", session_id)


def session_entry(uid: str) -> Key:
    return Key(SESSIONS, uid)


def runs_of_session(session_id: str) -> str:
    """The partition that lists a session's runs."""
    return f"SESSION#{session_id}#RUN"


def run_of_session(session_id: str, run_id: str) -> Key:
    return Key(runs_of_session(session_id), run_id)


def turns(uid: str) -> str:
    """The partition of a session's turns, by number. A session that was deleted and made again has another `uid`."""
    return f"TURNS#{uid}"


def turn(uid: str, number: int) -> Key:
    return Key(turns(uid), f"{number:08d}")


def audit(record_id: str) -> Key:
    return Key(AUDIT, record_id)


def usage(day: str) -> Key:
    """What the tenant used on one day, such as `2026-11-21`."""
    return Key(USAGE, day)


def category(name: str) -> Key:
    """How many tools are in a category."""
    return Key(CATEGORIES, name)


def counted_tool(tool_id: str, version: int | None) -> Key:
    """The mark that a tool's way into this version (None: its end) is counted in the categories."""
    return Key(f"TOOL#{tool_id}#COUNTED", "END" if version is None else f"{version:010d}")


def counters(name: str) -> str:
    """The partition of a counter, one item a day."""
    return f"COUNTER#{name}"


def counter(name: str, day: str) -> Key:
    return Key(counters(name), day)


def agent_lines(agent_id: str) -> str:
    """The partition of the lines that an agent's builds, runs and clients wrote, in batches sorted by time."""
    return f"AGENT#{agent_id}#LINE"


def run_lines(run_id: str) -> str:
    """The partition of the lines that one run wrote."""
    return f"RUN#{run_id}#LINE"


def agent_stats(agent_id: str) -> str:
    """The partition of the figures of an agent's runs, sorted by the time they ended."""
    return f"AGENT#{agent_id}#STAT"


def run_stat(agent_id: str | None, finished_at: str, run_id: str) -> Key:
    """The figures of a run; those of runs without an agent lie together."""
    partition = "RUN_STAT" if agent_id is None else agent_stats(agent_id)
    return Key(partition, f"{finished_at}#{run_id}")


def tool_stats(tool_id: str) -> str:
    """The partition of the figures of a tool's calls, sorted by the time they ended."""
    return f"TOOL#{tool_id}#STAT"


def call_stat(tool_id: str, ended_at: str, run_id: str, tool_call_id: str) -> Key:
    return Key(tool_stats(tool_id), f"{ended_at}#{run_id}#{tool_call_id}")


def idempotency(operation: str, digest: str) -> Key:
    return Key(f"IDEMPOTENCY#{digest}", operation)


def tenant_entry(created_at: str, tenant_id: str) -> DirectoryKey:
    """A tenant in the operator's list, which is sorted by time."""
    return DirectoryKey(of_tenant(OPERATOR) + TENANTS, f"{created_at}#{tenant_id}")


def directory_entry(key_id: str) -> DirectoryKey:
    """Which tenant a platform key belongs to. Who calls is unknown until this is read, so no tenant holds it."""
    return DirectoryKey(f"KEY#{key_id}", "KEY")


def login(digest: str) -> DirectoryKey:
    """Whose a user name or an e-mail address is; it makes the name unique in the platform."""
    return DirectoryKey(f"LOGIN#{digest}", "LOGIN")


def login_attempts(digest: str) -> DirectoryKey:
    """When somebody tried to log in under a name, whether or not it is anybody's."""
    return DirectoryKey(f"ATTEMPTS#{digest}", "ATTEMPTS")


def refresh_family(family_id: str) -> DirectoryKey:
    """A login: the refresh tokens that follow one another."""
    return DirectoryKey(f"REFRESH#{family_id}", "REFRESH")


def denied_token(token_id: str) -> DirectoryKey:
    """An access token that was ended before its time."""
    return DirectoryKey(f"DENIED#{token_id}", "DENIED")


def invite(invite_id: str) -> DirectoryKey:
    return DirectoryKey(f"INVITE#{invite_id}", "INVITE")
