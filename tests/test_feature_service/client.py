"""A bare client of one service, for tests."""

import json
from io import BytesIO
from typing import Any

from aiohttp import ClientSession, FormData

from .world import Json


class Client:
    """Sends forms to one FeatureServer and reads JSON."""

    def __init__(self, session: ClientSession, url: str, *, token: str = "") -> None:
        self.session = session
        self.url = url
        self._token = {"token": token} if token else {}

    async def post(self, path: str, **fields: Any) -> Any:
        """POST a form with f=json; objects go as JSON."""
        async with self.session.post(self._at(path), data=self._texts(fields)) as response:
            assert response.status == 200, await response.text()
            return json.loads(await response.read())

    async def get(self, path: str, **fields: Any) -> Any:
        """GET with f=json."""
        async with self.session.get(self._at(path), params=self._texts(fields)) as response:
            assert response.status == 200, await response.text()
            return json.loads(await response.read())

    async def send_file(self, path: str, part: str, name: str, data: bytes, **fields: Any) -> Any:
        """POST a multipart form with one file."""
        form = FormData()
        for field, text in self._texts(fields).items():
            form.add_field(field, text)
        form.add_field(part, BytesIO(data), filename=name, content_type="image/png")
        async with self.session.post(self._at(path), data=form) as response:
            return json.loads(await response.read())

    async def fetch(self, url: str) -> Any:
        """The JSON of a result file."""
        async with self.session.get(url) as response:
            assert response.status == 200, url
            return json.loads(await response.read())

    async def oids(self, layer: int, where: str, **fields: Any) -> list[int]:
        """The ObjectIDs a where clause finds."""
        found = await self.post(f"{layer}/query", where=where, returnIdsOnly=True, **fields)
        assert "objectIds" in found, found
        return list(found["objectIds"])

    async def replica(self, **fields: Any) -> Json:
        """createReplica, embedded, perLayer, over everything unless told otherwise."""
        wanted: Json = {
            "replicaName": "r",
            "layers": "0,1,2,3",
            "geometry": "-10000,-10000,10000,10000",
            "transportType": "esriTransportTypeEmbedded",
            "syncModel": "perLayer",
            **fields,
        }
        return dict(await self.post("createReplica", **wanted))

    async def sync(self, replica: Json, **fields: Any) -> Json:
        """synchronizeReplica, embedded, of every layer of a perLayer replica."""
        wanted: Json = {
            "replicaID": replica["replicaID"],
            "transportType": "esriTransportTypeEmbedded",
            "syncLayers": replica.get("layerServerGens", ""),
            **fields,
        }
        return dict(await self.post("synchronizeReplica", **wanted))

    def _at(self, path: str) -> str:
        return f"{self.url}/{path}" if path else self.url

    def _texts(self, fields: Json) -> dict[str, str]:
        found: dict[str, str] = {"f": "json", **self._token}
        for name, value in fields.items():
            if isinstance(value, bool):
                found[name] = str(value).lower()
            elif isinstance(value, (dict, list)):
                found[name] = json.dumps(value)
            else:
                found[name] = str(value)
        return found


def layer_of(answer: Json, layer_id: int, member: str = "edits") -> Json:
    """The entry of one layer in a replica or delta answer."""
    return next(dict(entry) for entry in answer[member] if entry["id"] == layer_id)


def names(features: list[Json], field: str = "name") -> list[Any]:
    """One attribute of each feature."""
    return [feature["attributes"][field] for feature in features]
