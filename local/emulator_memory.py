"""What the emulator forgets. The stock one keeps finished executions for ever, the records of a table's stream for 24
hours and each transaction for 10 minutes, all of them whole: a long evening of runs would end in swap."""

import inspect
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

KEPT_EXECUTIONS = 200
"""Finished executions that can still be described."""
KEPT_RECORDS = 2_000
"""Records of a stream that can still be read although all its readers have: an operator brings some back."""
KEPT_TRANSACTIONS = 1_000
"""Transactions whose repetition is known as one. A client repeats within seconds."""


def oldest_finished(executions: Mapping[Any, Mapping[str, Any]], keep: int) -> list[Any]:
    """The keys of finished executions, but for the ``keep`` that ended last."""
    ended = [(execution["stopDate"], key) for key, execution in executions.items() if execution["stopDate"]]
    return [key for _, key in sorted(ended)[:-keep]]


def as_expected() -> bool:
    """Whether the emulator's insides are those that `install` changes."""
    from ministack.services import dynamodb, lambda_svc, stepfunctions

    return (
        list(inspect.signature(stepfunctions._run_execution).parameters) == ["exec_arn"]
        and list(inspect.signature(dynamodb._txn_token_store).parameters) == ["crt", "entry"]
        and not inspect.signature(lambda_svc._poll_dynamodb_streams).parameters
    )


def install() -> None:
    """Let the running emulator forget from now on."""
    from ministack.services import dynamodb, lambda_svc, stepfunctions

    stepfunctions._run_execution = _then(stepfunctions._run_execution, forget_executions)
    dynamodb._txn_token_store = _then(dynamodb._txn_token_store, _forget_transactions)
    # The only thread that reads: so no reader looks for a place while what lies before it is taken away.
    lambda_svc._poll_dynamodb_streams = _then(lambda_svc._poll_dynamodb_streams, _forget_records)


def forget_executions(at_most: int = 2 * KEPT_EXECUTIONS) -> None:
    """Keep the newest finished executions only, if there are more than ``at_most`` executions."""
    from ministack.services import stepfunctions

    executions: dict[Any, dict[str, Any]] = stepfunctions._executions._data
    if len(executions) > at_most:
        for key in oldest_finished(dict(executions), KEPT_EXECUTIONS):
            executions.pop(key, None)


def _forget_transactions() -> None:
    from ministack.services import dynamodb

    drop_oldest(dynamodb._txn_idempotency._data, KEPT_TRANSACTIONS)


def drop_oldest(entries: MutableMapping[Any, Any], keep: int) -> None:
    """Keep the entries that came last, once there are twice as many."""
    if len(entries) >= 2 * keep:
        for key in list(entries)[:-keep]:
            entries.pop(key, None)


def _forget_records() -> None:
    """Drop old records that all readers of a stream have read."""
    from ministack.services import dynamodb, lambda_svc

    tables, mappings = dynamodb._tables._data, list(lambda_svc._esms._data.items())
    for key, records in list(dynamodb._stream_records._data.items()):
        stream = tables.get(key, {}).get("LatestStreamArn")
        readers = [reader for reader, mapping in mappings if mapping.get("EventSourceArn") == stream]
        positions = [lambda_svc._dynamodb_stream_positions._data.get(reader) for reader in readers]
        drop_read(records, key, dynamodb._stream_trimmed._data, positions, KEPT_RECORDS)


def drop_read(
    records: list[Any], key: Any, dropped: MutableMapping[Any, int], positions: Sequence[int | None], keep: int
) -> None:
    """Drop records before the readers' positions, once there are twice as many as are kept.

    Args:
        records: those of a stream that are left.
        dropped: by stream, how many are gone.
        positions: of all readers, counted from the first record there ever was; None: not known yet, so all are kept.
        keep: how many of the newest stay in any case.
    """
    known = [position for position in positions if position is not None]
    if len(records) >= 2 * keep and known and len(known) == len(positions):
        read = min(min(known) - dropped.get(key, 0), len(records) - keep)
        if read > 0:
            del records[:read]
            dropped[key] = dropped.get(key, 0) + read


def _then(function: Callable[..., Any], afterwards: Callable[[], None]) -> Callable[..., Any]:
    """The function, and something else behind it; what it answers or raises stays the same."""

    def called(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        finally:
            afterwards()

    return called
