"""The office of the demo: it edits the service, and has the portal refresh its packages."""

import json
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.demo_maps_story.world import AREA, BORDERS, PACKAGES
from scripts.demo_story.data import SERVICE
from scripts.demo_story.service import Service

_ITEMS = "/portal/sharing/rest/content/items"
Json = dict[str, Any]


class Office(Service):
    """The running services and portal; a context manager that ends them."""

    def __init__(self, data: Path, log: Path) -> None:
        super().__init__(data, SERVICE, log, "--control")
        self._origin = self.portal.removesuffix("/portal")

    def edit(
        self,
        layer: int,
        *,
        adds: Sequence[Json] = (),
        updates: Sequence[Json] = (),
        deletes: Sequence[str] = (),
    ) -> None:
        """Edit rows by their GlobalIDs, as a web application does."""
        answer = self._post(
            f"{self.url}/{layer}/applyEdits",
            adds=json.dumps(list(adds)),
            updates=json.dumps(list(updates)),
            deletes=json.dumps(list(deletes)),
            useGlobalIds="true",
            f="json",
        )
        results = [one for name in answer if name.endswith("Results") for one in answer[name] or ()]
        if len(results) != len(adds) + len(updates) + len(deletes) or not all(
            one["success"] for one in results
        ):
            raise RuntimeError(f"the office's own edit was refused: {answer}")

    def refresh(self) -> dict[str, str]:
        """Have the packages of the area made anew: package id → ``changed`` or ``unchanged``."""
        answer: Json = self._post(f"{self._origin}/control/refresh/{AREA}")
        packages: dict[str, str] = answer["packages"]
        return packages

    def package_bytes(self) -> int:
        """What the server has sent so far of the packages and their update files."""
        sent: Json = self._post(f"{self._origin}/control/traffic")["bytes"]
        of_packages = tuple(
            f"{_ITEMS}/{PACKAGES[service]}/{what}"
            for service in (SERVICE, BORDERS)
            for what in ("data", "resources/")
        )
        return sum(size for path, size in sent.items() if path.startswith(of_packages))

    def calls(self) -> int:
        """How many operations of services were called so far."""
        return len(self._post(f"{self._origin}/control/log")["calls"])

    @staticmethod
    def _post(url: str, **fields: str) -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = urllib.parse.urlencode(fields).encode()
        with opener.open(url, body, timeout=60) as answer:
            return json.loads(answer.read())
