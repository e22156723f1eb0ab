"""Where a map is taken from: a web map of a portal, or feature services that were named.

Knows the map's layers and tables, and of each whether its rows can be taken.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from engine.clock import Clock, SystemClock
from engine.errors import (
    BadParameterError,
    EngineError,
    JobCancelledError,
    MapError,
    NotLoadedError,
    SyncNotEnabledError,
)
from engine.maps.offline_map_parameters import OfflineCapability
from engine.maps.package_info import LeftOut
from engine.maps.web_map import WebMap, WebMapLayer
from engine.service.portal import ItemInfo, Portal, PortalItem
from engine.service.session import Session
from engine.service.sign_in import Credentials
from engine.sync.geodatabase_sync_task import GeodatabaseSyncTask
from engine.sync.loadable import Loadable
from engine.sync.replica_request import require_syncable


class MapSource(Loadable):
    """A web map, or feature services, with the tasks that take them. An async context manager.

    ``source``: the portal item of a web map; or the URLs of feature services, or one URL, to be
    taken as one map. ``credential``: one for their host or portal, or a store with one for each.
    """

    def __init__(
        self,
        source: str | Sequence[str] | PortalItem,
        *,
        credential: Credentials | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._clock: Clock = clock or SystemClock()
        self._stack: AsyncExitStack | None = None
        self.credential = credential
        self.portal_item = source if isinstance(source, PortalItem) else None
        self.title = ""
        self.web_map: WebMap | None = None
        self.tasks: list[GeodatabaseSyncTask] = []
        self._info: ItemInfo | None = None
        self._errors: dict[str, EngineError] = {}
        if not isinstance(source, PortalItem):
            urls = [source] if isinstance(source, str) else list(source)
            if not urls:
                raise BadParameterError("a map needs at least one feature service")
            self.tasks = [self._task(url) for url in urls]

    def _task(self, url: str) -> GeodatabaseSyncTask:
        return GeodatabaseSyncTask(
            url,
            credential=self.credential,
            clock=self._clock,
            continue_on_errors=self.portal_item is not None,
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for task in self.tasks:
                await stack.enter_async_context(task)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _load(self) -> None:
        if self.portal_item is None:
            for task in self.tasks:
                await task.load()
            return
        if self._stack is None:
            raise NotLoadedError(
                "the task is not open", remedy="Use it inside 'async with', as the examples do"
            )
        web_map = await self._load_web_map(self.portal_item)
        self._errors = {}
        known = {task.url: task for task in self.tasks}
        for url in web_map.services():
            if url not in known:
                known[url] = await self._stack.enter_async_context(self._task(url))
                self.tasks.append(known[url])
            try:
                await known[url].retry_load()
            except JobCancelledError:
                raise
            except EngineError as error:
                self._errors[url] = error
        self.web_map = web_map

    async def _load_web_map(self, item: PortalItem) -> WebMap:
        async with Session(credential=self.credential, clock=self._clock) as session:
            portal = Portal(item.portal, session)
            info = await self._item_info(portal, item)
            if info.type != "Web Map":
                remedy = "Give the item of a web map"
                if info.type == "Map Area":
                    remedy = "It is a map area: take it with a DownloadPreplannedOfflineMapJob"
                if info.type == "Feature Service" and info.service_url:
                    remedy += f", or the URL of the service: {info.service_url}"
                raise BadParameterError(
                    f"the item {item.item_id} ({info.title}) is no web map, but of the type "
                    f"{info.type or 'unknown'}",
                    remedy=remedy,
                )
            self.title = info.title
            return WebMap.from_json(await portal.item_data(item.item_id), portal=portal.url)

    async def _item_info(self, portal: Portal, item: PortalItem) -> ItemInfo:
        """What the portal says of the item; it is asked once."""
        if self._info is None:
            self._info = await portal.item(item.item_id)
        return self._info

    # --- what can be taken ------------------------------------------------------------------------

    @property
    def map_layers(self) -> list[WebMapLayer]:
        """The layers and tables of the web map, or of the services. Empty before :meth:`load`."""
        if self.web_map is not None:
            return list(self.web_map.every)
        return [
            WebMapLayer(
                id=f"{task.url}/{layer.id}",
                title=layer.name,
                type="ArcGISFeatureLayer",
                is_table=layer.geometry_type is None,
                service_url=task.url,
                layer_id=layer.id,
            )
            for task in self.tasks
            for layer in task.layers
        ]

    def capability(self, layer: WebMapLayer) -> OfflineCapability:
        if layer.stays_online:
            return OfflineCapability(supports_offline=False, remains_online=True)
        error = self.error_of(layer)
        return OfflineCapability(supports_offline=error is None, error=error)

    def error_of(self, layer: WebMapLayer) -> EngineError | None:
        """Why the rows of a layer cannot be taken."""
        if layer.is_embedded:
            return None
        if layer.problem:
            return MapError(
                f"{layer.title!r} cannot be taken: {layer.problem}",
                remedy="The map keeps the reference to it; nothing else needs to be done",
            )
        if layer.service_url in self._errors:
            return self._errors[layer.service_url]
        task = next(t for t in self.tasks if t.url == layer.service_url)
        if layer.layer_id in task.layer_errors:
            return task.layer_errors[layer.layer_id]
        schema = next((one for one in task.layers if one.id == layer.layer_id), None)
        if schema is None:
            return MapError(
                f"{layer.title!r} cannot be taken: {task.url} has no layer {layer.layer_id}",
                remedy="The service has changed since the map was saved: save the map again",
            )
        try:
            require_syncable(schema)
        except SyncNotEnabledError as error:
            return error
        return None

    def not_possible(self) -> list[LeftOut]:
        """What of the map cannot be taken, and why. Its author's own wish is no error."""
        found = []
        for layer in self.map_layers:
            error = self.capability(layer).error
            if error is not None:
                found.append(left_out(layer, error))
        return found


def left_out(layer: WebMapLayer, error: EngineError) -> LeftOut:
    """The note that a layer was not taken."""
    return LeftOut(id=layer.id, title=layer.title, is_table=layer.is_table, error=error)
