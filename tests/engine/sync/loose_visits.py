"""The example service with visits that outlive their hydrants: their key is emptied."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.engine.sync.fleet import HYDRANTS, SERVICE, VISITS, Fleet, fleet
from tests.feature_service import Profile
from tests.test_feature_service.world import hydrant, service_document, visit, write_service


def write_loose(data: Path) -> None:
    """The data folder of the service."""
    service = service_document()
    for layer in (service["layers"][0], service["tables"][0]):
        layer["relationships"][0]["composite"] = False
    rows = {
        HYDRANTS: [hydrant(number) for number in range(1, 10)],
        VISITS: [visit(1, 1), visit(2, 1), visit(3, 8)],
    }
    write_service(data / SERVICE, service, rows)


@asynccontextmanager
async def loose(folder: Path, profile: Profile) -> AsyncIterator[Fleet]:
    """A running service, and no devices yet."""
    write_loose(folder / "service")
    async with fleet(folder, profile) as world:
        yield world
