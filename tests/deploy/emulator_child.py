"""The emulator's process for a real deployment: stock, but for the Python that runs the functions.

Run by :mod:`local.emulator`. The stock emulator takes its own interpreter, whose packages would hide that one is
missing from the layer; and it unpacks the layer for each function anew, which is half of a cold start. This one also
says in a file what it refused: code may swallow a refusal. And what comes counts as sent by TLS, which it does not
speak, and without which the bucket refuses everything.
"""

import hashlib
import io
import json
import os
import signal
import sys
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

from ministack import app
from ministack.core import iam_evaluator, lambda_runtime
from ministack.services import lambda_svc

PYTHON, REFUSALS, LAYERS = "DEPLOY_LAMBDAS_PYTHON", "DEPLOY_REFUSALS", "DEPLOY_LAYERS"
_ORPHAN_CHECK_SECONDS = 0.25


def main() -> None:
    """Serve until SIGTERM, or until the parent is gone."""
    _run_functions_by(os.environ.pop(PYTHON))
    _unpack_layers_once(Path(os.environ.pop(LAYERS)))
    _write_down_refusals(Path(os.environ.pop(REFUSALS)))
    _take_all_for_tls()
    threading.Thread(target=_end_with, args=(int(os.environ["LOCAL_PARENT_PID"]),), daemon=True).start()
    sys.argv[1:] = []
    app.main()


def _run_functions_by(lambdas_python: str) -> None:
    stock = lambda_runtime._detect_runtime_binary

    def binary(runtime: str) -> tuple[str, str]:
        own, script = stock(runtime)
        return (lambdas_python if own == sys.executable else own), script

    lambda_runtime._detect_runtime_binary = binary


def _unpack_layers_once(folder: Path) -> None:
    stock, alone = lambda_svc._resolve_layer_zip, threading.Lock()
    site = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

    def resolve(attachment: Any) -> bytes | None:
        packed: bytes | None = stock(attachment)
        if packed is None:
            return None
        unpacked = folder / hashlib.sha256(packed).hexdigest()
        with alone:
            if not unpacked.exists():
                zipfile.ZipFile(io.BytesIO(packed)).extractall(unpacked)
        pointer = io.BytesIO()
        with zipfile.ZipFile(pointer, "w") as made:
            made.writestr(f"{site}/layer.pth", f"import sys; sys.path.insert(0, {str(unpacked / 'python')!r})\n")
        return pointer.getvalue()

    lambda_svc._resolve_layer_zip = resolve


def _write_down_refusals(file: Path) -> None:
    stock = iam_evaluator.enforce

    def enforce(access_key_id: str, iam_action: str, *others: Any, **named: Any) -> Any:
        refused = stock(access_key_id, iam_action, *others, **named)
        if refused:
            who = getattr(refused, "principal_arn", None) or repr(refused)
            line = {"who": who, "action": iam_action, "resource": named.get("resource_arn")}
            with file.open("a") as log:
                log.write(json.dumps(line) + "\n")
        return refused

    iam_evaluator.enforce = enforce


def _take_all_for_tls() -> None:
    app.pin_request_origin = lambda source_ip, _: iam_evaluator.pin_request_origin(source_ip, True)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
