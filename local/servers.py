"""One thread with an event loop, and the HTTP servers on it."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvicorn

_GRACE_SECONDS = 5

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in its own thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine there and wait for it here."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def serve(self, app: Callable[..., Any], listener: socket.socket) -> Callable[[], None]:
        """Serve an application; returns what stops it again."""
        config = uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            # Else a client could claim any address with X-Forwarded-For.
            proxy_headers=False,
            # The emulator keeps its connections for as long as it lives.
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
        server = uvicorn.Server(config)

        async def start() -> "asyncio.Task[None]":
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started and not task.done():
                await asyncio.sleep(0.002)
            return task

        task = self.run(start())

        async def stop() -> None:
            server.should_exit = True
            await task

        return lambda: self.run(stop())

    def close(self) -> None:
        """End the loop and its thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
