"""Conditions of web maps as SQLite understands them.

Source: "Standardized SQL functions in ArcGIS Online"/"SQL reference for query expressions used in
ArcGIS": dates are written ``DATE '2026-11-20'`` and ``TIMESTAMP '2026-11-20 09:30:00'``.
"""

import re

_WORDS = re.compile(
    r"""'(?:[^']|'')*' | "(?:[^"]|"")*" |          # text and names stay as they are
        \b(?:DATE|TIMESTAMP)\s*'(?P<date>\d{4}-\d\d-\d\d)(?P<time>[ T]\d\d:\d\d:\d\d(?:\.\d+)?)?' |
        \bN(?P<text>'(?:[^']|'')*')""",
    re.IGNORECASE | re.VERBOSE,
)


def local_sql(condition: str) -> str:
    """The condition with dates as a GeoPackage has them: text, ``2026-11-20T09:30:00.000Z``.

    A date without a time is compared as the first moment of its day.
    """
    return _WORDS.sub(_translated, condition)


def _translated(found: "re.Match[str]") -> str:
    if found["text"]:
        return str(found["text"])
    if not found["date"]:
        return found[0]
    if not found["time"]:
        return f"'{found['date']}'"
    seconds, _, fraction = found["time"][1:].partition(".")
    return f"'{found['date']}T{seconds}.{fraction[:3]:0<3}Z'"
