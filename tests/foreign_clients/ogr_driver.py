"""GDAL's ESRIJSON driver, by `ogrinfo`: reads a layer page by page.

Run by `scripts/foreign-clients` with a service url; needs the program `ogrinfo` only.
"""

import subprocess
import sys

from report import Report  # type: ignore[import-not-found] # beside this file when it is run

report = Report()
url = sys.argv[1]


def _listing(layer: int, more: str = "") -> str:
    query = f"ESRIJSON:{url}/{layer}/query?where=1%3D1&outFields=*&f=json{more}"
    done = subprocess.run(
        ["ogrinfo", "-ro", "-al", query], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


every = _listing(0)
report.equal("points", every.count("OGRFeature("), 9)
report.check("reference", lambda: "3857" in every)
report.equal("pages", _listing(0, "&resultRecordCount=4").count("OGRFeature("), 9)
report.equal("lines", _listing(1, "&returnZ=true").count("LINESTRING Z"), 3)
report.equal("areas", _listing(2).count("POLYGON ("), 1)
report.equal("table", _listing(3).count("OGRFeature("), 3)
report.finish()
