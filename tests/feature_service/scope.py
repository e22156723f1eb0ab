"""Which row versions belong to a replica, now or as of an earlier generation, as SQL."""

from typing import Any

from .definition import Layer
from .hosted import ANONYMOUS, Hosted
from .replica import Replica, origins
from .store import CURRENT, column, table
from .where import translate

Condition = tuple[str, list[Any]]


class Scope:
    """The rows of one replica."""

    def __init__(self, hosted: Hosted, replica: Replica) -> None:
        self._hosted = hosted
        self._replica = replica
        self._filter = replica.spatial_filter(hosted.wkid)
        for query in replica.queries:
            if query.option == "useFilter" and query.where:
                translate(hosted.layer(query.layer_id), query.where, "v")

    def condition(self, layer: Layer, alias: str, at: int | None) -> Condition:
        """The condition on `alias` for the versions alive at a generation (None: now)."""
        return self._condition(layer, alias, at, frozenset())

    def depends_on_others(self, layer: Layer) -> bool:
        """Whether a row may enter or leave without a change of its own."""
        query = self._replica.query_of(layer.id)
        return query.option == "none" and query.includes_related

    def _condition(
        self, layer: Layer, alias: str, at: int | None, passed: frozenset[int]
    ) -> Condition:
        sql, values = alive(alias, at)
        if layer.hides_others and not self._replica.sees_everything:
            sql = f"{sql} AND {alias}.{column(layer, layer.creator_field)} = ?"
            values = [*values, self._replica.owner or ANONYMOUS]
        query = self._replica.query_of(layer.id)
        if query.option == "all":
            return sql, values
        if query.option == "none":
            related, more = self._related(layer, alias, at, passed | {layer.id})
            return f"{sql} AND {related}", values + more
        if query.where:
            clause, more = translate(layer, query.where, alias, self._hosted.clock.now_ms())
            sql, values = f"{sql} AND {clause}", values + more
        if self._filter is not None and query.uses_geometry:
            clause, more = self._filter.condition(alias)
            sql, values = f"{sql} AND {clause}", values + more
        return sql, values

    def _related(
        self, layer: Layer, alias: str, at: int | None, passed: frozenset[int]
    ) -> Condition:
        if not self._replica.query_of(layer.id).includes_related:
            return "0", []
        parts: list[str] = []
        values: list[Any] = []
        every = origins(self._hosted.service, layer, self._replica.layer_ids)
        for number, origin in enumerate(every):
            if origin.layer.id in passed:
                continue
            inner = f"{alias}_{number}"
            sql, more = self._condition(origin.layer, inner, at, passed)
            source = f"{table(origin.layer)} {inner}"
            key = f"{inner}.{column(origin.layer, origin.key)}"
            if origin.junction is not None:
                between = f"{inner}_j"
                theirs, ours = (column(origin.junction, name) for name in origin.junction_keys)
                living, also = alive(between, at)
                source += f" JOIN {table(origin.junction)} {between} ON {between}.{theirs} = {key}"
                key, sql, more = f"{between}.{ours}", f"{living} AND {sql}", [*also, *more]
            own = f"{alias}.{column(layer, origin.own_key)}"
            parts.append(f"EXISTS (SELECT 1 FROM {source} WHERE {key} = {own} AND {sql})")
            values += more
        return f"({' OR '.join(parts)})" if parts else "0", values


def alive(alias: str, at: int | None) -> Condition:
    """The condition for versions alive at a generation (None: now)."""
    if at is None:
        return f"{alias}.gen_to = {CURRENT}", []
    return f"{alias}.gen_from <= ? AND {alias}.gen_to > ?", [at, at]
