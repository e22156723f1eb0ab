"""GDAL's ESRIJSON driver, by `ogrinfo` and `ogr2ogr`: reads and converts layers page by page.

Run by `scripts/foreign-clients` with a service url; needs these two programs only.
"""

import os
import subprocess
import sys
from pathlib import Path

from report import Report  # type: ignore[import-not-found] # beside this file when it is run

report = Report()
url = sys.argv[1]


def _source(layer: int, more: str = "") -> str:
    return f"ESRIJSON:{url}/{layer}/query?where=1%3D1&outFields=*&f=json{more}"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


def _listing(source: str) -> str:
    return _run("ogrinfo", "-ro", "-al", source)


def _converted(layer: int, more: str = "") -> str:
    target = Path(os.environ["HOME"]) / f"{layer}{len(more)}.gpkg"
    _run("ogr2ogr", "-f", "GPKG", "-t_srs", "EPSG:4326", str(target), _source(layer, more))
    return _listing(str(target))


every = _listing(_source(0))
report.equal("points", every.count("OGRFeature("), 9)
report.check("reference", lambda: "3857" in every)
report.equal("lines", _listing(_source(1, "&returnZ=true")).count("LINESTRING Z"), 3)
report.equal("areas", _listing(_source(2)).count("POLYGON ("), 1)
report.equal("table", _listing(_source(3)).count("OGRFeature("), 3)
report.begin("paging")
report.equal("pages", _listing(_source(0, "&resultRecordCount=4")).count("OGRFeature("), 9)
pages = _converted(0, "&resultRecordCount=2")
report.equal("pages to a GeoPackage", pages.count("OGRFeature("), 9)
report.check("in degrees", lambda: "POINT (0.00089831" in pages)
report.equal("lines to a GeoPackage", _converted(1).count("OGRFeature("), 3)
report.finish()
