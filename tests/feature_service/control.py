"""`/control/…`: what a test in another process may do to a running server.

Open only on a server started with `--control`.
"""

import json
from collections import Counter
from typing import Any, Protocol

from .answer import Answer, document
from .call import Call
from .fault import Faults, fault_from
from .hosted import Actor, Hosted
from .mishap import change_schema
from .problem import ServiceError
from .tracking import clean_up


class Controlled(Protocol):
    """What a control call may reach of the server."""

    faults: Faults
    log: list[str]
    traffic: Counter[str]

    def hosted(self, name: str) -> Hosted: ...

    def refresh_map_area(self, area_id: str) -> dict[str, str]: ...

    def expire_tokens(self) -> None: ...


def control(server: Controlled, call: Call) -> Answer:
    """Answer one control call; what it wants is JSON in a form field."""
    try:
        return document(_do(server, call), "json")
    except (ValueError, TypeError, KeyError, ServiceError) as error:
        refused = document({"error": str(error)}, "json")
        return Answer(content=refused.content, content_type=refused.content_type, status=400)


def _do(server: Controlled, call: Call) -> Any:
    match call.segments[1:]:
        case ("faults",):
            wanted = json.loads(call.parameters.text("faults") or "[]")
            for entry in wanted if isinstance(wanted, list) else [wanted]:
                server.faults.add(fault_from(entry))
            return {"waiting": len(server.faults)}
        case ("clear",):
            server.faults.clear()
            return {"waiting": 0}
        case ("log",):
            return {"calls": server.log}
        case ("traffic",):
            return {"bytes": dict(server.traffic)}
        case ("expire-tokens",):
            server.expire_tokens()
            return {"success": True}
        case ("refresh", area_id):
            return {"packages": server.refresh_map_area(area_id)}
        case ("schema", name):
            change_schema(server.hosted(name), json.loads(call.parameters.text("change")))
            return {"success": True}
        case ("cleanup", name):
            clean_up(server.hosted(name), Actor(is_owner=True), call.parameters)
            return {"success": True}
    raise ValueError(f"there is no control {'/'.join(call.segments[1:])}")
