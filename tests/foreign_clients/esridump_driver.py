"""PyPI `esridump`: reads a whole layer, by pages and by windows of ObjectIDs.

Run by `scripts/foreign-clients` with a service url; has a virtual environment of its own.
"""

import sys
from typing import Any

from esridump import EsriDumper  # type: ignore[import-not-found] # foreign
from report import Report  # type: ignore[import-not-found] # beside this file when it is run

report = Report()
url = sys.argv[1]


def _rows(layer: int, **options: object) -> list[dict[str, Any]]:
    return list(EsriDumper(f"{url}/{layer}", **options))


report.begin("paging")
hydrants = _rows(0, max_page_size=4)
serials = sorted(one["properties"]["serial"] for one in hydrants)
report.equal("every point once", serials, list(range(1, 10)))
report.equal("type", hydrants[0]["geometry"]["type"], "Point")
report.begin("query")
report.check("degrees", lambda: abs(hydrants[0]["geometry"]["coordinates"][0]) < 0.01)
report.equal("lines", len(_rows(1)), 3)
report.equal("areas", len(_rows(2)), 1)
report.finish()
