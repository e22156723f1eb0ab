"""Rows as features: the JSON a client sees."""

import json
from collections.abc import Iterable
from typing import Any

from .definition import Layer
from .field import Field
from .geometry import Show
from .guid import Spelling, spell
from .store import column


class FeatureView:
    """Which columns of a layer go into an answer, and how they look there."""

    def __init__(
        self,
        layer: Layer,
        fields: Iterable[Field],
        spelling: Spelling,
        show: Show | None,
    ) -> None:
        self.fields = tuple(fields)
        self._layer = layer
        self._names = [field.name for field in self.fields]
        self._spelling = spelling
        self._guid_at = [at for at, field in enumerate(self.fields) if field.kind == "guid"]
        self._show = show

    def columns(self, alias: str) -> str:
        """The SQL list of the columns `feature` wants, the shape first."""
        names = [f"{alias}.shape"] if self._show else ["NULL"]
        names += [f"{alias}.{column(self._layer, name)}" for name in self._names]
        return ", ".join(names)

    def attributes(self, values: Iterable[Any]) -> dict[str, Any]:
        """The attributes for the values of the columns, in order."""
        listed = list(values)
        for at in self._guid_at:
            if listed[at] is not None:
                listed[at] = spell(listed[at], self._spelling)
        return dict(zip(self._names, listed, strict=True))

    def feature(self, found: tuple[Any, ...]) -> dict[str, Any]:
        """The feature for one row of `columns`."""
        attributes = self.attributes(found[1:])
        if self._show is None:
            return {"attributes": attributes}
        shape = self._show.shape(json.loads(found[0])) if found[0] is not None else None
        if shape is None:
            return {"attributes": attributes, "geometry": None}
        return {"attributes": attributes, "geometry": shape}
