"""Packs a folder with an `anymind.yaml` into a `.tar.gz`, and if asked uploads it and waits until it is built.

    python examples/code-agent/pack.py examples/code-agent                                   # packs
    python examples/code-agent/pack.py examples/code-agent --url $URL --key $KEY --agent me   # and uploads

It needs Python alone. Packages that the agent needs are brought as wheels: `pip download --only-binary=:all: -d wheels
<package>` in the folder, and their names under `requirements`.
"""

import argparse
import gzip
import hashlib
import http.client
import io
import json
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

MANIFEST = "anymind.yaml"
# What the gateway carries; larger archives go to the bucket by a form.
WITH_REQUEST_BYTES = 4_000_000
_LEFT_OUT = {"__pycache__", ".git", ".venv", "venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules"}
_PATIENCE_SECONDS = 600
_POLL_SECONDS = 0.5


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files that are packed: names in the archive, and where they are. Links are left to the platform to refuse."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not _LEFT_OUT & set(name.parts) and not name.name.endswith((".pyc", ".tar.gz")):
            yield name.as_posix(), path


def pack(folder: Path) -> bytes:
    """The archive of a folder; the same folder makes the same bytes."""
    if not (folder / MANIFEST).is_file():
        fail(f"There is no {MANIFEST} in {folder}.")
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, path in files_of(folder):
            info = tarfile.TarInfo(name)
            info.size = path.stat().st_size
            with path.open("rb") as file:
                archive.addfile(info, file)
    return made.getvalue()


class Platform:
    """The platform's API, as far as an upload needs it."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/"), key

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """Send a request; what it is refused with ends the program."""
        headers = {"X-API-Key": self._key, "Content-Type": kind}
        request = Request(self._url + path, data=body, headers=headers, method=method)  # noqa: S310 - the user's URL
        try:
            with urlopen(request, timeout=60) as answer:  # noqa: S310
                return json.load(answer)
        except HTTPError as refused:
            said = refused.read().decode(errors="replace")
            fail(f"{method} {path} was answered with {refused.code}: {said}")
        except URLError as error:
            fail(f"{self._url} does not answer: {error.reason}")

    def upload(self, agent: str, archive: bytes, name: str) -> Any:
        """Upload an archive; gives the version that is made of it."""
        path = f"/uploads/agent/{quote(agent, safe='')}"
        if len(archive) <= WITH_REQUEST_BYTES:
            kind, body = form({}, archive, name)
            return self.call("POST", path, body, kind)
        said = {"filename": name, "size": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
        version = self.call("POST", path, json.dumps(said).encode())
        post_form(version["upload"]["url"], version["upload"]["fields"], archive, name)
        return version

    def wait(self, version: Mapping[str, Any]) -> Any:
        """The version when its build has ended; shows on the way that it goes on."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = self.call("GET", f"/agents/{version['agent_id']}/versions/{version['version']}")
            progress(f"{found['version']}: {found['status']}")
            if found["status"] in {"ready", "failed"}:
                print()
                return found
            if time.monotonic() > deadline:
                fail("The build takes too long; look at it later.")
            time.sleep(_POLL_SECONDS)


def form(fields: Mapping[str, str], content: bytes, name: str) -> tuple[str, bytes]:
    """The content type and the body of a form with a file, which comes last."""
    mark = uuid.uuid4().hex
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
        for field, value in fields.items()
    ]
    parts.append(
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/gzip\r\n\r\n"
    )
    return f"multipart/form-data; boundary={mark}", "".join(parts).encode() + content + f"\r\n--{mark}--\r\n".encode()


def post_form(url: str, fields: Mapping[str, str], content: bytes, name: str) -> None:
    """Upload by the form that the platform gave, with a line that shows how far it is. The key is not sent there."""
    kind, body = form(fields, content, name)
    place = urlsplit(url)
    kinds = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
    connection = kinds[place.scheme](place.netloc, timeout=60)
    connection.putrequest("POST", place.path or "/")
    connection.putheader("Content-Type", kind)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    for sent in range(0, len(body), 1_048_576):
        connection.send(body[sent : sent + 1_048_576])
        progress(f"uploaded {min(100, 100 * (sent + 1_048_576) // len(body))} %")
    answer = connection.getresponse()
    if answer.status >= 300:
        fail(f"The upload was refused with {answer.status}: {answer.read().decode(errors='replace')}")
    print()


def progress(text: str) -> None:
    """Show where it stands, on one line."""
    print(f"\r{text:<40}", end="", flush=True)


def fail(why: str) -> NoReturn:
    """End the program."""
    sys.exit(f"\n{why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds anymind.yaml")
    parser.add_argument("--out", type=Path, help="the archive; <folder>.tar.gz if left out")
    parser.add_argument("--url", help="the platform's address: upload, too")
    parser.add_argument("--key", help="a platform key with agents:write")
    parser.add_argument("--agent", help="id or name of the agent that it is a version of")
    arguments = parser.parse_args()
    archive = pack(arguments.folder)
    name = f"{arguments.folder.resolve().name}.tar.gz"
    out = arguments.out or Path(name)
    out.write_bytes(archive)
    print(f"{out}: {len(archive)} bytes")
    if arguments.url is None:
        return
    if not arguments.key or not arguments.agent:
        fail("An upload needs --key and --agent.")
    platform = Platform(arguments.url, arguments.key)
    version = platform.wait(platform.upload(arguments.agent, archive, name))
    print(version["build_log"])
    if version["status"] == "failed":
        fail("The build failed.")


if __name__ == "__main__":
    main()
