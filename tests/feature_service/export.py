"""The bodies of replica and delta files."""

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import snapshot
from .changes import Changes, Window
from .definition import Layer
from .feature import FeatureView
from .geometry import show
from .hosted import Hosted
from .projection import mover
from .replica import Replica
from .result_file import JsonFile
from .scope import Scope

Results = dict[str, list[dict[str, Any]]]


@dataclass(slots=True, kw_only=True)
class LayerResults:
    """The results of the edits a client sent for one layer."""

    features: Results = field(default_factory=dict)
    attachments: Results = field(default_factory=dict)


class Exporter:
    """Writes the rows of one replica for one answer."""

    def __init__(
        self, hosted: Hosted, replica: Replica, *, base_url: str, attachments_by_url: bool
    ) -> None:
        self._hosted = hosted
        self._replica = replica
        self._scope = Scope(hosted, replica)
        self._base_url = base_url
        self._by_url = attachments_by_url

    def snapshot(self, out: JsonFile, layer: Layer, *, with_attachments: bool) -> None:
        """Write one entry of `layers`: every row as it is now."""
        out.open("{")
        out.write(layer.id, "id")
        out.write_list(
            "features", snapshot.features(self._hosted, self._scope, layer, self.view(layer))
        )
        if with_attachments and layer.has_attachments:
            found = snapshot.attachments(self._hosted, self._scope, layer)
            out.write_list("attachments", self._attachments(layer, found))
        out.close("}")

    def delta(
        self, out: JsonFile, layer: Layer, window: Window | None, results: LayerResults | None
    ) -> int:
        """Write one entry of `edits`: the changes of a window and the results of edits.

        Returns how many changes and results it holds.
        """
        place = self._hosted.profile.results_place
        count = 0
        out.open("{")
        out.write(layer.id, "id")
        changes = None if window is None else Changes(self._hosted, self._scope, layer, window)
        out.open("{", "features")
        if changes is not None:
            view = self.view(layer)
            count += out.write_list("adds", changes.adds(view))
            count += out.write_list("updates", changes.updates(view))
            gone = deleted_keys(self._hosted, changes)
            count += out.write_list(self._hosted.profile.deletes_member, gone)
        if results is not None and place == "features":
            count += _write_results(out, results.features)
        out.close("}")
        if layer.has_attachments:
            out.open("{", "attachments")
            if changes is not None and self._replica.receives_attachments:
                count += self.attachment_changes(out, layer, changes)
            if results is not None and place in ("features", "layer"):
                count += _write_results(out, results.attachments)
            out.close("}")
        if results is not None and place == "layer":
            count += _write_results(out, results.features)
        out.close("}")
        return count

    def attachment_changes(self, out: JsonFile, layer: Layer, changes: Changes) -> int:
        """Write the members of `attachments` of one entry; how many there were."""
        count = out.write_list("adds", self._attachments(layer, changes.attachment_adds()))
        count += out.write_list("updates", self._attachments(layer, changes.attachment_updates()))
        gone = (self._hosted.spelled(gid) for gid in changes.attachment_deletes())
        return count + out.write_list(self._hosted.profile.deletes_member, gone)

    def view(self, layer: Layer) -> FeatureView:
        """Every field of a layer, its geometry in the replica's reference."""
        move = mover(self._hosted.wkid, self._replica.wkid)
        profile = self._hosted.profile
        shapes = None
        if not layer.is_table:
            shapes = show(layer, move, with_z=True, with_m=True, profile=profile)
        return FeatureView(layer, layer.fields, self._hosted.profile.guid_spelling, shapes)

    def _attachments(
        self, layer: Layer, found: Iterable[tuple[Any, ...]]
    ) -> Iterator[dict[str, Any]]:
        store = self._hosted.attachments(layer)
        for aid, gid, parent_gid, name, content_type, size, keywords, content_id, oid in found:
            shown: dict[str, Any] = {
                "attachmentId": aid,
                "globalId": self._hosted.spelled(gid),
                "parentGlobalId": self._hosted.spelled(parent_gid),
                "contentType": content_type,
                "size": size,
                "name": name,
                "keywords": keywords,
            }
            if self._by_url:
                shown["url"] = f"{self._base_url}/{layer.id}/{oid}/attachments/{aid}"
            else:
                shown["data"] = base64.b64encode(store.content(content_id)).decode("ascii")
            yield shown


def deleted_keys(hosted: Hosted, changes: Changes) -> Iterator[str | int]:
    """What a list of deleted features holds: GlobalIDs or ObjectIDs."""
    by_object_id = hosted.profile.deletes_hold == "objectIds"
    for gid, oid in changes.deletes():
        yield oid if by_object_id else hosted.spelled(gid)


def _write_results(out: JsonFile, results: Results) -> int:
    return sum(out.write_list(name, entries) for name, entries in results.items())
