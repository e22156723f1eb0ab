"""How one deployment of the protocol differs from another.

`Profile()` is what the public documents describe. Where they are silent it is one plain
choice, and every other choice is a value of the same switch, so that a client can be tried
against all of them.
"""

import random
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_origin, get_type_hints

from .guid import Spelling


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One frozen set of switches; README.md explains each."""

    echoes_own_edits: bool = False
    repeated_add: Literal["fail", "ignore", "upsert"] = "fail"
    remints_global_ids: bool = False
    deletes_member: Literal["deleteIds", "deletes"] = "deleteIds"
    deletes_hold: Literal["globalIds", "objectIds"] = "globalIds"
    guid_spelling: Spelling = "braces-upper"
    results_place: Literal["layer", "features", "root", "none"] = "layer"
    edit_codes: Literal["documented", "hresult"] = "documented"
    one_bad_edit_refuses_all: bool = False
    result_member: Literal["URL", "responseUrl", "resultUrl"] = "URL"
    generations_in: Literal["both", "file", "envelope"] = "both"
    completes_before_url: bool = False
    status_case: Literal["camel", "upper", "lower", "spaced"] = "camel"
    sync_models: Literal["both", "perLayer", "perReplica"] = "both"
    supports_async: bool = True
    supports_change_tracking: bool = True
    supports_rollback: bool = True
    nulls_omitted_attributes: bool = False
    update_of_missing: Literal["fail", "ignore", "insert"] = "fail"
    rows_leaving: Literal["delete", "update", "nothing"] = "delete"
    results_on_other_origin: bool = False
    ignores_request_gzip: bool = False
    error_shape: Literal["documented", "bare"] = "documented"
    info_generations: Literal["list", "text"] = "list"
    empty_point: Literal["null", "NaN"] = "null"
    unknown_replica_code: Literal[400, 404, 500] = 400
    snaps_coordinates: bool = True
    validates_domains: bool = True
    read_only_fields: Literal["error", "ignore"] = "error"
    job_polls: int = 3
    result_life_s: int = 600
    empty_geometry: Literal["clears", "ignored"] = "clears"
    tells_short_lived: bool = False
    ids_only: Literal["told", "empty"] = "told"
    no_changes: Literal["lists", "null"] = "lists"
    serves_ranges: bool = True

    @classmethod
    def random(cls, seed: int) -> "Profile":
        """A profile drawn from every value of every switch; the same seed, the same profile."""
        draw = random.Random(seed)
        drawn: dict[str, object] = {}
        for name, choices in switches().items():
            drawn[name] = draw.choice(choices)
        return cls(**drawn)  # type: ignore[arg-type] # each value comes from its own field


def switches() -> dict[str, tuple[object, ...]]:
    """Every switch and the values it may take."""
    hints = get_type_hints(Profile)
    found: dict[str, tuple[object, ...]] = {}
    for field in fields(Profile):
        hint = hints[field.name]
        if get_origin(hint) is Literal:
            found[field.name] = get_args(hint)
        elif hint is bool:
            found[field.name] = (False, True)
        elif field.name == "job_polls":
            found[field.name] = (0, 1, 3, 5)
        else:
            found[field.name] = (60, 600)
    return found
