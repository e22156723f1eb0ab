"""The feature service of the demo: the reference service, on this machine's loopback."""

import json
import select
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

READY_WITHIN_S = 120
STOP_WITHIN_S = 10
PAGE = 2000


class Service:
    """A running feature service; a context manager that ends it."""

    def __init__(self, data: Path, name: str, log: Path, *flags: str) -> None:
        """Serve the folder ``data`` and wait until it is ready; its own words go to ``log``.

        ``url`` is that of the service ``name``, ``portal`` that of the portal if there is one.
        """
        self._log = log
        with open(log, "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.feature_service", "--data", str(data), *flags],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # Ctrl-C is for the demo, which ends the service in order
            )
        try:
            ready = json.loads(self._first_line())
            self.url: str = ready["services"][name]
            self.portal: str = ready["portal"] or ""
        except BaseException:
            self._stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def rows(self, layer: int, where: str = "1=1") -> Iterator[dict[str, Any]]:
        """Features of a layer, asked for page by page as any client of the REST API does."""
        offset = 0
        while True:
            answer = self._get(
                f"{layer}/query",
                where=where,
                outFields="*",
                orderByFields="OBJECTID",
                resultOffset=offset,
                resultRecordCount=PAGE,
            )
            yield from answer["features"]
            if not answer.get("exceededTransferLimit"):
                return
            offset += PAGE

    def photos(self, layer: int, object_id: int) -> dict[str, bytes]:
        """The attachments of a feature: file name → bytes."""
        infos = self._get(f"{layer}/{object_id}/attachments")["attachmentInfos"]
        place = f"{self.url}/{layer}/{object_id}/attachments"
        return {info["name"]: _fetch(f"{place}/{info['id']}") for info in infos}

    def _get(self, path: str, **parameters: object) -> Any:
        query = urllib.parse.urlencode({**parameters, "f": "json"})
        answer = json.loads(_fetch(f"{self.url}/{path}?{query}"))
        if "error" in answer:
            raise RuntimeError(f"the feature service refused {path}: {answer['error']}")
        return answer

    def _first_line(self) -> str:
        """What the service prints when it is ready; RuntimeError if it does not."""
        output = self._process.stdout
        assert output is not None
        if select.select([output], [], [], READY_WITHIN_S)[0] and (line := output.readline()):
            return line
        words = self._log.read_text(encoding="utf-8", errors="replace").strip()
        raise RuntimeError(f"the feature service did not start: {words or 'no answer in time'}")

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _fetch(url: str) -> bytes:
    # An opener without proxies: the service is on this machine, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=60) as answer:
        data: bytes = answer.read()
    return data
