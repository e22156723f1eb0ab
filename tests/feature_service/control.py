"""`/control/…`: what a test in another process may do to a running server.

Open only on a server started with `--control`.
"""

import json
from typing import Any

from .answer import Answer, document
from .call import Call
from .fault import Faults, fault_from
from .hosted import Hosted
from .mishap import change_schema


def control(faults: Faults, hosted: dict[str, Hosted], log: list[str], call: Call) -> Answer:
    """Answer one control call; what it wants is JSON in `body`, or in the form of its path."""
    try:
        return document(_do(faults, hosted, log, call), "json")
    except (ValueError, TypeError, KeyError) as error:
        refused = document({"error": str(error)}, "json")
        return Answer(content=refused.content, content_type=refused.content_type, status=400)


def _do(faults: Faults, hosted: dict[str, Hosted], log: list[str], call: Call) -> Any:
    match call.segments[1:]:
        case ("faults",):
            wanted = json.loads(call.parameters.text("faults") or "[]")
            for entry in wanted if isinstance(wanted, list) else [wanted]:
                faults.add(fault_from(entry))
            return {"waiting": len(faults)}
        case ("clear",):
            faults.clear()
            return {"waiting": 0}
        case ("log",):
            return {"calls": log}
        case ("schema", name):
            change_schema(hosted[name], json.loads(call.parameters.text("change")))
            return {"success": True}
        case ("state", name):
            store = hosted[name].store
            return {"generation": store.generation}
    raise ValueError(f"there is no control {'/'.join(call.segments[1:])}")
