"""One piece of work in a process of its own: ``python -m scripts.benchmark.worker TASK JSON``.

The last line of its output is JSON: CPU seconds and peak memory of the work, without the start.
"""

import gc
import json
import resource
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

TASKS = {
    "load": "load:load",
    "load_floor": "load:load_floor",
    "load_dict": "load:load_dict",
    "encode": "encode:encode",
    "encode_ready": "encode:encode_ready",
    "encode_orjson": "encode:encode_orjson",
    "encode_dict": "encode:encode_dict",
    "decode": "memory:decode_replica",
    "decode_dict": "memory:decode_dict",
    "merge": "memory:merge",
    "export_steps": "export:export_steps",
    "geodiff": "export:geodiff_changeset",
    "delta": "delta:delta",
    "delta_peer": "delta:changeset",
    "change_rows": "prepare:change_rows",
    "edit_geodatabase": "prepare:edit_geodatabase",
    "make_plain_pair": "prepare:make_plain_pair",
    "write_replica": "prepare:write_replica",
    "write_feature_set": "prepare:write_feature_set",
    "upload": "transfer:upload",
    "download": "transfer:download",
}
"""Task → module and function. A task returns a function that does the work, so that its imports
and what it lays ready are no part of the measure; that function returns what it found."""

Work = Callable[[], Any]


def main(task: str, arguments: dict[str, Any]) -> None:
    module, _, name = TASKS[task].partition(":")
    work: Work = getattr(import_module(f"scripts.benchmark.{module}"), name)(**arguments)
    gc.collect()
    idle_mb, started = _resident_mb(), time.process_time()
    found = work()
    cpu_s = time.process_time() - started
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": cpu_s, "peak_mb": peak_mb, "idle_mb": idle_mb, "found": found}))


def _resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
