"""What has become different in a replica's rows since a generation.

The answer depends only on the two generations and on who asks, so asking again with the old
generation gives the same changes, and whatever came later.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .definition import Layer
from .feature import FeatureView
from .hosted import Hosted
from .scope import Scope, alive
from .store import CURRENT, column, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The changes after `since`, up to `upto` (None: now), that are not made by `own` alone.

    An empty `own` hides nobody's changes.
    """

    since: int
    own: str = ""
    upto: int | None = None


class Changes:
    """The changes of one layer and its attachments in one window."""

    def __init__(self, hosted: Hosted, scope: Scope, layer: Layer, window: Window) -> None:
        self._hosted = hosted
        self._scope = scope
        self._layer = layer
        self._window = window
        self._table = table(layer)

    def adds(self, view: FeatureView) -> Iterator[dict[str, Any]]:
        """Features that are in the replica now and were not."""
        yield from self._features(view, self._present(was_there=False))

    def updates(self, view: FeatureView) -> Iterator[dict[str, Any]]:
        """Features that were in the replica, still are, and have changed."""
        yield from self._features(view, self._present(was_there=True))
        if self._hosted.profile.rows_leaving == "update":
            yield from self._features(view, self._left())

    def field_updates(self, view: FeatureView, names: list[str]) -> Iterator[dict[str, Any]]:
        """Those of the updates in which one of these fields has another value than before."""
        columns = [column(self._layer, name) for name in names if name in self._layer.by_name]
        if not columns:
            return
        sql, values = self._present(was_there=True)
        living, more = alive("b", self._window.since)
        differs = " OR ".join(f"b.{name} IS NOT v.{name}" for name in columns)
        before = f"SELECT 1 FROM {self._table} b WHERE b.gid = v.gid AND {living} AND ({differs})"
        yield from self._features(view, (f"{sql} AND EXISTS ({before})", [*values, *more]))

    def deletes(self) -> Iterator[tuple[str, int]]:
        """GlobalID and ObjectID of rows that are gone, or that left the filter.

        A row that left is told even to the client whose own edit moved it: what the client
        knows is the edit, not what it means for the filter.
        """
        condition, values = self._gone()
        others, more = self._by_others(self._table, "v", "")
        keys = f"SELECT v.gid, v.oid FROM {self._table} v WHERE"
        yield from self._run(f"{keys} {condition} AND {others}", [*values, *more])
        if self._hosted.profile.tells_short_lived:
            yield from self._short_lived()
        if self._hosted.profile.rows_leaving == "delete":
            condition, values = self._left()
            yield from self._run(f"{keys} {condition}", values)

    def _short_lived(self) -> Iterator[tuple[str, int]]:
        """Rows that came and went after the generation."""
        living, values = alive("n", self._window.upto)
        before, more = alive("o", self._window.since)
        others, also = self._by_others(self._table, "v", "")
        exists = f"(SELECT 1 FROM {self._table} {{0}} WHERE {{0}}.gid = v.gid AND {{1}})"
        yield from self._run(
            f"SELECT DISTINCT v.gid, v.oid FROM {self._table} v WHERE v.gen_from > ?"
            f" AND NOT EXISTS {exists.format('n', living)}"
            f" AND NOT EXISTS {exists.format('o', before)} AND {others}",
            [self._window.since, *values, *more, *also],
        )

    def deleted_features(self, view: FeatureView) -> Iterator[dict[str, Any]]:
        """The rows that are gone, as they were."""
        yield from self._features(view, self._gone())

    def _gone(self) -> tuple[str, list[Any]]:
        """Versions that were in the replica, of rows that are not alive any more."""
        inside, values = self._scope.condition(self._layer, "v", self._window.since)
        living, more = alive("n", self._window.upto)
        sql = (
            f"{inside} AND v.gen_to < {CURRENT} AND NOT EXISTS"
            f" (SELECT 1 FROM {self._table} n WHERE n.gid = v.gid AND {living})"
        )
        return sql, [*values, *more]

    def has_moved(self) -> bool:
        """Whether the geometry of any row still in the replica has changed."""
        sql, values = self._present(was_there=True)
        found = self._run(
            f"SELECT 1 FROM {self._table} v WHERE v.moved = 1 AND {sql} LIMIT 1", values
        )
        return found.fetchone() is not None

    def extent(self) -> tuple[float, float, float, float] | None:
        """The box around every changed row, where it was and where it is."""
        since, upto = self._window.since, self._window.upto
        inside, values = self._scope.condition(self._layer, "v", upto)
        before, more = self._scope.condition(self._layer, "v", since)
        last = self._hosted.store.generation if upto is None else upto
        found = self._run(
            "SELECT MIN(v.xmin), MIN(v.ymin), MAX(v.xmax), MAX(v.ymax)"
            f" FROM {self._table} v WHERE (({inside}) AND v.gen_from > ?)"
            f" OR (({before}) AND v.gen_to <= ?)",
            [*values, since, *more, last],
        ).fetchone()
        return None if found is None or found[0] is None else tuple(found)

    def _features(
        self, view: FeatureView, condition: tuple[str, list[Any]]
    ) -> Iterator[dict[str, Any]]:
        sql, values = condition
        others, more = self._by_others(self._table, "v", "")
        cursor = self._run(
            f"SELECT {view.columns('v')} FROM {self._table} v WHERE {sql} AND {others}"
            " ORDER BY v.oid",
            [*values, *more],
        )
        for found in cursor:
            yield view.feature(found)

    def _present(self, *, was_there: bool) -> tuple[str, list[Any]]:
        since = self._window.since
        inside, values = self._scope.condition(self._layer, "v", self._window.upto)
        before, more = self._scope.condition(self._layer, "o", since)
        sign = "EXISTS" if was_there else "NOT EXISTS"
        sql = (
            f"{inside} AND {sign} (SELECT 1 FROM {self._table} o WHERE o.gid = v.gid AND {before})"
        )
        values = [*values, *more]
        if was_there or not self._scope.depends_on_others(self._layer):
            sql, values = f"v.gen_from > ? AND {sql}", [since, *values]
        return sql, values

    def _left(self) -> tuple[str, list[Any]]:
        """Living rows that were in the replica and are not any more."""
        before, values = self._scope.condition(self._layer, "o", self._window.since)
        inside, more = self._scope.condition(self._layer, "i", self._window.upto)
        living, head = alive("v", self._window.upto)
        values = [*head, *values]
        sql = (
            f"{living}"
            f" AND EXISTS (SELECT 1 FROM {self._table} o WHERE o.gid = v.gid AND {before})"
            f" AND NOT EXISTS (SELECT 1 FROM {self._table} i WHERE i.vid = v.vid AND {inside})"
        )
        if not self._scope.depends_on_others(self._layer):
            return f"v.gen_from > ? AND {sql}", [self._window.since, *values, *more]
        return sql, [*values, *more]

    def _by_others(self, name: str, alias: str, extra: str) -> tuple[str, list[Any]]:
        """True unless every change of the row in the window is the asker's own."""
        if not self._window.own:
            return "1", []
        since, own = self._window.since, self._window.own
        changed = (
            f"SELECT 1 FROM {name} h WHERE h.gid = {alias}.gid{extra}"
            f" AND ((h.gen_from > ? AND h.origin_from {{0}} ?)"
            f" OR (h.gen_to > ? AND h.gen_to < {CURRENT} AND h.origin_to {{0}} ?))"
        )
        sql = f"(NOT EXISTS ({changed.format('=')}) OR EXISTS ({changed.format('<>')}))"
        return sql, [since, own, since, own] * 2

    def attachment_adds(self) -> Iterator[tuple[Any, ...]]:
        """Attachments that are in the replica now and were not."""
        yield from self._attachments(was_there=False)

    def attachment_updates(self) -> Iterator[tuple[Any, ...]]:
        """Attachments that were in the replica, still are, and have changed."""
        yield from self._attachments(was_there=True)

    def _attachments(self, *, was_there: bool) -> Iterator[tuple[Any, ...]]:
        since = self._window.since
        now, values = self._attachment_scope("a", "p", self._window.upto)
        before, more = self._attachment_scope("o", "q", since)
        sign = "EXISTS" if was_there else "NOT EXISTS"
        sql = (
            f"{now} AND {sign} (SELECT 1 FROM attachment o WHERE o.layer = a.layer"
            f" AND o.gid = a.gid AND {before})"
        )
        values = [*values, *more]
        if was_there:
            sql, values = f"{sql} AND a.gen_from > ?", [*values, since]
        others, more = self._by_others("attachment", "a", " AND h.layer = a.layer")
        living, head = alive("p", self._window.upto)
        yield from self._run(
            f"SELECT {ATTACHMENT_COLUMNS}, p.oid FROM attachment a JOIN {self._table} p"
            f" ON p.gid = a.parent_gid AND {living}"
            f" WHERE a.layer = ? AND {sql} AND {others} ORDER BY a.aid",
            [*head, self._layer.id, *values, *more],
        )

    def _attachment_scope(self, alias: str, parent: str, at: int | None) -> tuple[str, list[Any]]:
        living, values = alive(alias, at)
        inside, more = self._scope.condition(self._layer, f"{parent}_s", at)
        sql = (
            f"{living} AND EXISTS (SELECT 1 FROM {self._table} {parent}_s"
            f" WHERE {parent}_s.gid = {alias}.parent_gid AND {inside})"
        )
        return sql, [*values, *more]

    def attachment_deletes(self) -> Iterator[str]:
        """GlobalIDs of attachments that are gone."""
        before, values = self._attachment_scope("a", "p", self._window.since)
        living, also = alive("n", self._window.upto)
        others, more = self._by_others("attachment", "a", " AND h.layer = a.layer")
        cursor = self._run(
            f"SELECT a.gid FROM attachment a WHERE a.layer = ? AND {before}"
            f" AND a.gen_to < {CURRENT} AND NOT EXISTS (SELECT 1 FROM attachment n"
            f" WHERE n.layer = a.layer AND n.gid = a.gid AND {living}) AND {others}",
            [self._layer.id, *values, *also, *more],
        )
        for (gid,) in cursor:
            yield str(gid)

    def _run(self, sql: str, values: list[Any]) -> sqlite3.Cursor:
        return self._hosted.store.run(sql, *values)


ATTACHMENT_COLUMNS = (
    "a.aid, a.gid, a.parent_gid, a.name, a.content_type, a.size, a.keywords, a.content_id"
)
