"""What a person can do about an edit that the service refused, by the code it gave.

Codes: ArcGIS REST API, "Feature service error codes". A code may also be a negative HRESULT, of
which only the service's own words tell more.
"""

_CORRECT = "Correct the row on the device, or discard the edit"
_NOT_ALLOWED = "Ask the owner of the service to allow it, or discard the edit"
_AGAIN = "Retry it; if that fails again, show the reason to the owner of the service"
_ATTACHMENT = (
    "See whether the service takes files of that type and size; retry it, or discard the edit"
)

_REMEDIES = {
    1001: "Fill in the field that may not be empty, or discard the edit",
    1002: "Give the geometry its measures (m), or discard the edit",
    1003: _AGAIN,
    1004: _NOT_ALLOWED,
    1005: _NOT_ALLOWED,
    1006: "Take the HTML out of the text, or discard the edit",
    1007: _NOT_ALLOWED,
    1008: _ATTACHMENT,
    1009: _ATTACHMENT,
    1010: _AGAIN,
    1011: "The row is gone from the service: restore it from the conflicts, or discard the edit",
    1012: _AGAIN,
    1013: "The row is gone from the service or belongs to somebody else: discard the edit, or ask"
    " the owner of the service",
    1014: "Give the geometry its heights (z), or discard the edit",
    1015: "Draw the geometry again, or discard the edit",
    1016: "Correct the value: it does not fit the field's type, length or domain",
    1017: _AGAIN,
    1018: _AGAIN,
    1019: _AGAIN,
    1022: "Change the value that must be unique, or discard the edit",
    1023: _NOT_ALLOWED,
    2000: _AGAIN,
    2001: "Ask the owner of the service for the layer; the edit is kept",
}


def remedy_of(code: int | None) -> str:
    """What to do about an edit that was refused with ``code``; None: it had no code."""
    return _REMEDIES.get(code or 0, _CORRECT)
