"""All the rows of a replica as they are now."""

from collections.abc import Iterator
from typing import Any

from .changes import ATTACHMENT_COLUMNS
from .definition import Layer
from .feature import FeatureView
from .hosted import Hosted
from .scope import Scope
from .store import CURRENT, table


def features(
    hosted: Hosted, scope: Scope, layer: Layer, view: FeatureView
) -> Iterator[dict[str, Any]]:
    """Every feature of a layer that belongs to the replica."""
    sql, values = scope.condition(layer, "v", None)
    cursor = hosted.store.run(
        f"SELECT {view.columns('v')} FROM {table(layer)} v WHERE {sql} ORDER BY v.oid", *values
    )
    for found in cursor:
        yield view.feature(found)


def attachments(hosted: Hosted, scope: Scope, layer: Layer) -> Iterator[tuple[Any, ...]]:
    """Every attachment of those features, with the ObjectID of its feature last."""
    sql, values = scope.condition(layer, "p", None)
    yield from hosted.store.run(
        f"SELECT {ATTACHMENT_COLUMNS}, p.oid FROM attachment a JOIN {table(layer)} p"
        f" ON p.gid = a.parent_gid WHERE a.layer = ? AND a.gen_to = {CURRENT} AND {sql}"
        " ORDER BY a.aid",
        layer.id,
        *values,
    )
