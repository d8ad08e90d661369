"""The start of an environment of Lambda: garbage is not looked for, and what nobody asks for is not imported.

What a function imports stays, and to look through it again and again for garbage costs a tenth of the start. The local
runtime and tests have many functions in one process and are left alone.
"""

import gc
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

IN_LAMBDA = "AWS_LAMBDA_RUNTIME_API" in os.environ
"""Whether this process is an environment of Lambda, or of its interface emulator: only they set this variable."""

ONE_THREAD = IN_LAMBDA and "AWS_LAMBDA_EXEC_WRAPPER" not in os.environ
"""Whether it has one event at a time on one thread: so all but the servers of streams, which a wrapper starts."""


_LATER = frozenset({"openai.types", "openai.types.graders", "openai.types.responses"})


def begin() -> None:
    """Called before anything of the platform is imported."""
    if IN_LAMBDA:
        gc.disable()
        # Else the first model that is built looks for plugins in the metadata of all packages.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if ONE_THREAD:
        later(_LATER)


def end() -> None:
    """Called where the handler is made: the collector works again, and never looks at what is there now."""
    if IN_LAMBDA and not gc.isenabled():
        gc.freeze()
        gc.enable()


def later(packages: frozenset[str]) -> None:
    """What these packages import is imported when somebody asks them for it, or never: then they stay empty.

    Their submodules can be imported as ever, and who asks a package for a name finds what it would have found. Nine
    tenths of what `import openai` imports describe APIs that are not called here: 400 modules, half of the start.
    """
    sys.meta_path.insert(0, _Finder(packages))


class _Finder:
    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target) if name in self._packages else None
        if found is not None and found.loader is not None:
            found.loader = _Later(found.loader)
        return found


class _Later(Loader):
    """Makes a package that runs its own code when it is first asked for a name that it does not have (PEP 562)."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__spec__.loader = module.__loader__ = self._loader

        def asked_for(name: str) -> Any:
            del module.__getattr__
            self._loader.exec_module(module)
            return getattr(module, name)

        module.__getattr__ = asked_for
