"""PyPI `pyogrio`, with the GDAL inside it: reads a layer page by page.

Run by `scripts/foreign-clients` with a service url; has a virtual environment of its own.
"""

import sys

from pyogrio.raw import read  # type: ignore[import-not-found] # foreign
from report import Report  # type: ignore[import-not-found] # beside this file when it is run

report = Report()
url = sys.argv[1]


def _table(layer: int, more: str = "") -> tuple[dict[str, object], list[int]]:
    query = f"ESRIJSON:{url}/{layer}/query?where=1%3D1&outFields=*&f=json{more}"
    meta, _, geometry, columns = read(query)
    sizes = [len(column) for column in columns]
    return meta, [len(geometry), *sizes[:1]]


meta, sizes = _table(0)
report.equal("points", sizes, [9, 9])
report.equal("reference", meta["crs"], "EPSG:3857")
report.check("fields", lambda: "name" in list(meta["fields"]))  # type: ignore[call-overload] # numpy
report.begin("paging")
report.equal("pages", _table(0, "&resultRecordCount=4")[1], [9, 9])
report.begin("query")
report.equal("lines", _table(1)[1], [3, 3])
report.finish()
