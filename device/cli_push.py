"""``fieldsync push``: edits in a file to their service, from any machine with a link."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from device.cli_credentials import credentials
from device.cli_run import follow, run_async
from device.cli_traffic import traffic
from device.console import Console, Report
from device.tables import table
from engine import AnswerCounts, EditVerdict, ExitCode, PushDeltaJob, PushDeltaResult

WHEN_STOPPED = "Nothing is lost or doubled; push the file again"
HEADINGS = ("layer", "applied", "changed there", "gone there", "refused", "unknown")
ORDER = (EditVerdict.APPLIED, EditVerdict.CONFLICT, EditVerdict.GONE, EditVerdict.REFUSED)


def run(options: Namespace, console: Console) -> Report:
    """Push the file and write its acknowledgement."""
    return run_async(lambda: _push(options, console), when_stopped=WHEN_STOPPED)


async def _push(options: Namespace, console: Console) -> Report:
    path: Path = options.file
    answer = options.ack or path.with_name(f"{path.name.removesuffix('.delta')}.ack.delta")
    job = PushDeltaJob(path, answer, url=options.service, credential=credentials(options))
    result = await follow(job, f"pushing {path.name}", console)
    return Report(
        data={
            "file": str(path),
            "acknowledgement": str(result.acknowledgement_path),
            "has_errors": result.has_errors,
            "tables": list(_tables(result)),
            "totals": asdict(result.totals),
        },
        lines=[
            *table(HEADINGS, [_row(one) for one in result.tables]),
            *_remarks(result),
            traffic(result.totals),
            f"Carry {result.acknowledgement_path} back and import it on the device.",
        ],
        exit_code=_exit_code(result),
    )


def _exit_code(result: PushDeltaResult) -> ExitCode:
    if result.unknown:
        return ExitCode.TEMPORARY
    if result.count(EditVerdict.REFUSED):
        return ExitCode.QUARANTINE
    if result.count(EditVerdict.CONFLICT) or result.count(EditVerdict.GONE):
        return ExitCode.CONFLICTS
    return ExitCode.OK


def _row(one: AnswerCounts) -> tuple[object, ...]:
    return (one.table_name, *(one.verdicts[verdict] for verdict in ORDER), one.unknown)


def _remarks(result: PushDeltaResult) -> Iterator[str]:
    for one in result.tables:
        for answer in one.refusals:
            code = "" if answer.code in (None, "refused") else f" (error {answer.code})"
            edit = answer.edit
            yield (
                f"{one.table_name} {edit.global_id}, {edit.operation.value} not applied: "
                f"{answer.description}{code}"
            )


def _tables(result: PushDeltaResult) -> Iterator[dict[str, object]]:
    for one in result.tables:
        yield {
            "layer_id": one.layer_id,
            "table": one.table_name,
            "is_attachment": one.is_attachment,
            **{verdict.value: one.verdicts[verdict] for verdict in ORDER},
            "unknown": one.unknown,
            "refusals": [
                {
                    "global_id": answer.edit.global_id,
                    "edit_operation": answer.edit.operation.value,
                    "code": answer.code,
                    "description": answer.description,
                }
                for answer in one.refusals
            ],
        }
