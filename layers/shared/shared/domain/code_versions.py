"""The versions of an agent of one's own code: each is an upload, and what its build made of it.

They lie where other agents keep what they were when they were published, under numbers of their own: 1 is `v1`.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import Field

from shared import clock
from shared.domain import agents
from shared.domain.agents import Agent
from shared.domain.fields import Record
from shared.errors import ConditionFailed, Conflict, NotFound, VersionConflict
from shared.store import keys
from shared.store.table import Change, Item, Put, TenantStore, Write

FORM_SECONDS = 600
"""How long the form for an upload holds."""

BUILD_SECONDS = 180
"""How long a build may take: the timeout of its function. Whoever has held a version longer is gone."""

_GRACE_SECONDS = 3_600
_ATTEMPTS = 20
_MOST_TRIES = 2
_KEY = re.compile(r"uploads/([A-Za-z0-9_-]{1,64})/(agents/([0-9a-f-]{36})/artifacts/v([1-9][0-9]{0,8})\.tar\.gz)")
_PATH = "agents/{}/artifacts/{}.tar.gz"

BuildStatus = Literal["queued", "building", "ready", "failed"]


class CodeVersion(Record):
    """An upload of an agent's code. `build_log` says what became of it; `memory` is in mebibytes.

    `entrypoint`, `timeout_seconds` and `memory` are what `config`, its `anymind.yaml`, says; null until it was built.
    """

    id: str
    tenant_id: str
    agent_id: str
    version: str
    kind: Literal["code"] = "code"
    status: BuildStatus
    build_log: str | None = None
    tarball_path: str
    entrypoint: str | None = None
    config: str | None = None
    timeout_seconds: int | None = None
    memory: int | None = None
    size: int
    sha256: str
    created_at: str
    updated_at: str
    expected_until: Annotated[str, Field(exclude=True)]
    built_until: Annotated[str, Field(exclude=True)] = ""
    tries: Annotated[int, Field(exclude=True)] = 0

    @property
    def number(self) -> int:
        """The number in `version`."""
        return int(self.version[1:])

    @property
    def upload_key(self) -> str:
        """Where the upload is, in the bucket."""
        return f"uploads/{self.tenant_id}/{self.tarball_path}"

    @property
    def bundle_key(self) -> str:
        """Where that is which was built of it: a `.tar.gz` of plain files, with its packages in `.packages`."""
        return f"builds/{self.tenant_id}/{self.tarball_path}"


def read(item: Item) -> CodeVersion:
    """A version from the table. One whose upload never came has failed."""
    version = CodeVersion.model_validate_json(item.doc)
    if version.status == "queued" and clock.in_seconds(-_GRACE_SECONDS) > version.expected_until:
        return version.model_copy(update={"status": "failed", "build_log": "Nothing was uploaded in time."})
    return version


def of_key(key: str) -> tuple[str, str, int] | None:
    """Tenant, agent and number of the version whose upload has this key; None for any other key."""
    found = _KEY.fullmatch(key)
    return (found[1], found[3], int(found[4])) if found else None


def queue(store: TenantStore, agent_ref: str, size: int, sha256: str, *, held: bool) -> CodeVersion:
    """Make the next version of an agent, to be uploaded; 3 reads by id and 1 transaction.

    An agent that has nothing but a name becomes one of kind `code` by its first upload.

    Args:
        held: the upload is at hand, so that the agent's build begins now.

    Raises:
        NotFound: no such agent.
        Conflict: the agent is archived, or was published as one with a model.
        VersionConflict: others upload to it at the same time.
    """
    version_id = store.new_id()
    for _ in range(_ATTEMPTS):
        agent = agents.get(store, agent_ref)
        number = _newest(store, agent.id) + 1
        name, moment = f"v{number}", clock.now()
        version = CodeVersion(
            id=version_id,
            tenant_id=store.tenant_id,
            agent_id=agent.id,
            version=name,
            status="queued",
            tarball_path=_PATH.format(agent.id, name),
            size=size,
            sha256=sha256,
            created_at=moment,
            updated_at=moment,
            expected_until=clock.in_seconds(FORM_SECONDS),
        )
        # The guard lets a repeated request meet its own first effect.
        more = [
            Put(keys.agent_version(agent.id, number), _stored(version)),
            Put(keys.published(agent.id, version_id), str(number)),
        ]

        def change(agent: Agent) -> Agent:
            _check_takes_code(agent)
            return agent.model_copy(update={"kind": "code"} | ({"status": "building"} if held else {}))

        try:
            agents.alter(store, agent.id, change, None, more=more)
        except ConditionFailed:
            guard = store.get(keys.published(agent.id, version_id))
            if guard is not None:
                return get(store, agent.id, int(guard.doc))
            continue
        return version
    raise VersionConflict("Others upload to this agent at the same time; try again.")


def get(store: TenantStore, agent_id: str, number: int) -> CodeVersion:
    """A version of an agent; 1 request.

    Raises:
        NotFound: there is none of this number.
    """
    item = store.get(keys.agent_version(agent_id, number))
    if item is None:
        raise NotFound("No such version.")
    return read(item)


def claim(store: TenantStore, agent_id: str, number: int) -> CodeVersion | None:
    """Take a version to build it; 2 reads and 1 transaction.

    Returns:
        The version, or None if there is nothing to build: it is built, another is at it, or it is gone.

    Raises:
        ConditionFailed: another was faster.
    """
    item = store.get(keys.agent_version(agent_id, number))
    if item is None:
        return None
    version = CodeVersion.model_validate_json(item.doc)
    if version.status in {"ready", "failed"} or (version.status == "building" and clock.now() < version.built_until):
        return None
    taken = version.model_copy(
        update={
            "status": "building",
            "updated_at": clock.now(),
            "built_until": clock.in_seconds(BUILD_SECONDS),
            "tries": version.tries + 1,
        }
    )

    def change(agent: Agent) -> Agent:
        return agent if agent.status == "archived" else agent.model_copy(update={"status": "building"})

    write = Change(keys.agent_version(agent_id, number), doc=_stored(taken), when=item.version)
    try:
        agents.alter(store, agent_id, change, None, more=[write])
    except NotFound:
        return None
    return taken


def lost(store: TenantStore, version: CodeVersion) -> None:
    """End a version whose file came with the request and is not in the bucket; 2 reads and 1 transaction."""
    failed = version.model_copy(update={"status": "failed", "build_log": "The upload could not be kept; try again."})
    # Else the file is there after all and is being built, or the agent is gone.
    with suppress(ConditionFailed, NotFound):
        finish(store, failed, [])


def gave_up(version: CodeVersion) -> bool:
    """Whether a version was taken so often without an end that nobody should try again."""
    return version.tries > _MOST_TRIES


def finish(store: TenantStore, version: CodeVersion, more: Sequence[Write]) -> None:
    """End a build that was claimed: the version and its agent say how; 2 reads and 1 transaction.

    Raises:
        ConditionFailed: somebody else ended it.
    """
    key = keys.agent_version(version.agent_id, version.number)
    item = store.get(key)
    if item is None or CodeVersion.model_validate_json(item.doc).tries != version.tries:
        raise ConditionFailed((0,))
    ended = version.model_copy(update={"updated_at": clock.now()})

    def change(agent: Agent) -> Agent:
        said: dict[str, Any] = {} if agent.status == "archived" else {"status": version.status}
        if version.status == "ready" and version.number > (agent.current_version or 0):
            said |= {"current_version": version.number, "current_version_id": version.id}
        return agent.model_copy(update=said)

    writes = [Change(key, doc=_stored(ended), when=item.version), *more]
    agents.alter(store, version.agent_id, change, None, more=writes)


def _newest(store: TenantStore, agent_id: str) -> int:
    found = store.query(keys.agent_versions(agent_id), limit=1, newest_first=True).items
    return int(found[0].sort) if found else 0


def _check_takes_code(agent: Agent) -> None:
    agents.refuse_archived(agent)
    if agent.kind != "code" and agent.current_version is not None:
        raise Conflict("The agent was published with a model; make another one for code.", code="not_a_code_agent")


def _stored(version: CodeVersion) -> str:
    """The version as the table keeps it, with what the API does not show."""
    hidden = {name: getattr(version, name) for name in ("expected_until", "built_until", "tries")}
    return json.dumps(version.model_dump() | hidden, ensure_ascii=False)
