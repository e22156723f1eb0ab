"""An offline map on disk: a folder with ``package.info``, ``map.json`` and its geodatabases."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from engine.errors import (
    EngineError,
    GeodatabaseDamagedError,
    MapNotFoundError,
    NotAGeodatabaseError,
    NotLoadedError,
)
from engine.geodatabase.feature_table import FeatureTable
from engine.geodatabase.geodatabase import Geodatabase
from engine.maps.package_info import MAP_NAME, PackageInfo, read_json

if TYPE_CHECKING:  # loaded for those who ask for the layers of the web map
    from engine.maps.operational_layers import OperationalLayer


class OfflineMap:
    """An open offline map. Made by :meth:`open`; an async context manager.

    ``layers`` and ``tables`` are the feature tables with and without a geometry, of all
    geodatabases. A geodatabase that cannot be opened does not keep the others from being used: it
    is missing from ``geodatabases``, and ``errors`` says why. ``layer_errors`` and
    ``table_errors``, by the ids in the web map, say what of it was not taken.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.errors: dict[str, EngineError] = {}
        self._stack: AsyncExitStack | None = None
        self._info: PackageInfo | None = None
        self._definition: dict[str, object] = {}
        self._geodatabases: list[Geodatabase] = []

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """The map in ``folder``, to be entered with ``async with``.

        :exc:`MapNotFoundError` if there is no map.
        """
        return cls(Path(folder))

    @staticmethod
    def read_info(folder: str | Path) -> PackageInfo:
        """How the map in ``folder`` was taken, without opening its geodatabases.

        :exc:`MapNotFoundError` if there is no map.
        """
        return PackageInfo.read(Path(folder))

    async def __aenter__(self) -> Self:
        if not self.folder.is_dir():
            raise MapNotFoundError(f"{self.folder} holds no offline map (there is no such folder)")
        self._info = PackageInfo.read(self.folder)
        self._definition = read_json(self.folder / MAP_NAME, self.folder)
        async with AsyncExitStack() as stack:
            for service in self._info.services:
                try:
                    geodatabase = await Geodatabase.open(self.folder / service.file)
                except (NotAGeodatabaseError, GeodatabaseDamagedError) as error:
                    self.errors[service.file] = GeodatabaseDamagedError(
                        error.message, remedy=_repair(self.folder)
                    )
                    continue
                except EngineError as error:
                    self.errors[service.file] = error
                    continue
                self._geodatabases.append(await stack.enter_async_context(geodatabase))
            if self._info.services and not self._geodatabases:
                raise next(iter(self.errors.values()))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, self._stack = self._stack, None
        self._geodatabases = []
        if stack is not None:
            await stack.aclose()

    @property
    def info(self) -> PackageInfo:
        """How the map was taken."""
        if self._info is None:
            raise NotLoadedError(f"the map in {self.folder} is not open")
        return self._info

    @property
    def layer_errors(self) -> dict[str, EngineError]:
        return {one.id: one.error for one in self.info.left_out if not one.is_table}

    @property
    def table_errors(self) -> dict[str, EngineError]:
        return {one.id: one.error for one in self.info.left_out if one.is_table}

    @property
    def definition(self) -> dict[str, object]:
        """The web map (Web Map Specification) that the map was taken from."""
        return self._definition

    @property
    def geodatabases(self) -> list[Geodatabase]:
        return list(self._geodatabases)

    @property
    def operational_layers(self) -> "list[OperationalLayer]":
        """The layers of the web map, the lowest first, then its tables; each with its feature
        table, if that is on this device."""
        from engine.maps.operational_layers import operational_layers

        urls = {service.file: service.url for service in self.info.services}
        tables: dict[str, list[FeatureTable]] = {}
        for geodatabase in self._geodatabases:
            url = urls.get(geodatabase.path.name, geodatabase.service_url)
            tables.setdefault(url, []).extend(geodatabase.feature_tables)
        missing = self.layer_errors | self.table_errors
        return operational_layers(self._definition, self.info.portal, tables, missing)

    @property
    def layers(self) -> list[FeatureTable]:
        return [t for t in self._feature_tables() if t.schema.geometry_type is not None]

    @property
    def tables(self) -> list[FeatureTable]:
        return [t for t in self._feature_tables() if t.schema.geometry_type is None]

    def _feature_tables(self) -> list[FeatureTable]:
        return [table for geodatabase in self._geodatabases for table in geodatabase.feature_tables]


def _repair(folder: Path) -> str:
    return f"Repair the map: fieldsync repair {folder}. It keeps the file and what can be read"
