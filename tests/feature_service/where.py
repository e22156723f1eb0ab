"""WHERE clauses: a small, whitelisted SQL made into SQLite's.

Source: ArcGIS REST API, "Query (Feature Service/Layer)", `where`, with the standardized
functions and DATE / TIMESTAMP literals. Nothing of the client's text reaches SQLite: fields
become known columns, literals become bound values, anything else refuses the clause.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .definition import Layer
from .field import Kind, epoch_ms
from .guid import canonical
from .problem import ServiceError
from .store import column

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<text>[nN]?'(?:[^']|'')*')"
    r'|(?P<quoted>"[^"]+")'
    r"|(?P<word>[^\W\d][\w.$]*)"
    r"|(?P<sign><>|<=|>=|!=|\|\||[-+*/=<>(),]))"
)
_FUNCTIONS = {
    "upper": ("UPPER", "text"),
    "lower": ("LOWER", "text"),
    "char_length": ("LENGTH", "number"),
    "abs": ("ABS", "number"),
    "round": ("ROUND", "number"),
}
_COMPARISONS = ("=", "<>", "!=", "<", "<=", ">", ">=")
_DEEPEST = 60


def _invalid(why: str) -> ServiceError:
    return ServiceError(400, "'where' clause is invalid", why)


@dataclass(frozen=True, slots=True)
class Operand:
    """A piece of SQL with its bound values; a literal keeps its own value to be adapted."""

    sql: str
    values: tuple[Any, ...]
    kind: Kind | None = None
    is_literal: bool = False

    def as_kind(self, kind: Kind | None) -> "Operand":
        """The literal as it is kept in a column of that kind."""
        if not self.is_literal or kind is None or self.kind != "text":
            return self
        text = self.values[0]
        if kind == "guid":
            return Operand("?", (canonical(text) or text,), kind, True)
        if kind == "date":
            return Operand("?", (_moment_ms(text),), kind, True)
        return self


def _moment_ms(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _invalid(f"'{text}' is not a date") from None
    return epoch_ms(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def translate(layer: Layer, clause: str, alias: str, now_ms: int = 0) -> tuple[str, list[Any]]:
    """The clause as SQL over the columns of `alias`, with its bound values."""
    parser = _Parser(layer, _tokens(clause), alias, now_ms)
    sql, values = parser.condition(0)
    parser.finish()
    return sql, values


def _tokens(clause: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    text = clause.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _invalid(f"unexpected '{text[position : position + 20]}'")
        found.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return found


class _Parser:
    def __init__(
        self, layer: Layer, tokens: list[tuple[str, str]], alias: str, now_ms: int
    ) -> None:
        self._layer = layer
        self._tokens = tokens
        self._alias = alias
        self._now_ms = now_ms
        self._at = 0

    def finish(self) -> None:
        if self._at != len(self._tokens):
            raise _invalid(f"unexpected '{self._tokens[self._at][1]}'")

    def condition(self, depth: int) -> tuple[str, list[Any]]:
        return self._joined("OR", depth, lambda: self._joined("AND", depth, self._negation(depth)))

    def _joined(
        self, word: str, depth: int, part: Callable[[], tuple[str, list[Any]]]
    ) -> tuple[str, list[Any]]:
        if depth > _DEEPEST:
            raise _invalid("the clause is nested too deep")
        sql, values = part()
        while self._takes(word):
            more, further = part()
            sql, values = f"({sql} {word} {more})", values + further
        return sql, values

    def _negation(self, depth: int) -> Callable[[], tuple[str, list[Any]]]:
        def part() -> tuple[str, list[Any]]:
            negated = False
            while self._takes("NOT"):
                negated = not negated
            sql, values = self._predicate(depth)
            return (f"(NOT {sql})" if negated else sql), values

        return part

    def _predicate(self, depth: int) -> tuple[str, list[Any]]:
        start = self._at
        try:
            return self._comparison(depth)
        except ServiceError:
            self._at = start
            if not self._takes("("):
                raise
        sql, values = self.condition(depth + 1)
        self._expect(")")
        return sql, values

    def _comparison(self, depth: int) -> tuple[str, list[Any]]:
        left = self._sum(depth)
        for sign in _COMPARISONS:
            if self._takes(sign):
                right = self._sum(depth)
                left, right = left.as_kind(right.kind), right.as_kind(left.kind)
                return f"({left.sql} {sign} {right.sql})", [*left.values, *right.values]
        if self._takes("IS"):
            word = "IS NOT NULL" if self._takes("NOT") else "IS NULL"
            self._expect("NULL")
            return f"({left.sql} {word})", list(left.values)
        negated = "NOT " if self._takes("NOT") else ""
        if self._takes("IN"):
            return self._membership(left, negated, depth)
        if self._takes("LIKE"):
            return self._likeness(left, negated, depth)
        if self._takes("BETWEEN"):
            low = self._sum(depth).as_kind(left.kind)
            self._expect("AND")
            high = self._sum(depth).as_kind(left.kind)
            sql = f"({left.sql} {negated}BETWEEN {low.sql} AND {high.sql})"
            return sql, [*left.values, *low.values, *high.values]
        raise _invalid("a comparison is missing")

    def _membership(self, left: Operand, negated: str, depth: int) -> tuple[str, list[Any]]:
        self._expect("(")
        members = [self._sum(depth).as_kind(left.kind)]
        while self._takes(","):
            members.append(self._sum(depth).as_kind(left.kind))
        self._expect(")")
        listed = ", ".join(member.sql for member in members)
        values = [value for member in members for value in member.values]
        return f"({left.sql} {negated}IN ({listed}))", [*left.values, *values]

    def _likeness(self, left: Operand, negated: str, depth: int) -> tuple[str, list[Any]]:
        pattern = self._sum(depth)
        escape = self._sum(depth) if self._takes("ESCAPE") else Operand("NULL", ())
        sql = f"({negated}like_exact({left.sql}, {pattern.sql}, {escape.sql}))"
        return sql, [*left.values, *pattern.values, *escape.values]

    def _sum(self, depth: int) -> Operand:
        return self._operation(("+", "-", "||"), self._product, depth)

    def _product(self, depth: int) -> Operand:
        return self._operation(("*", "/"), self._factor, depth)

    def _operation(
        self, signs: tuple[str, ...], part: Callable[[int], Operand], depth: int
    ) -> Operand:
        left = part(depth)
        while True:
            sign = next((sign for sign in signs if self._takes(sign)), None)
            if sign is None:
                return left
            right = part(depth)
            sql = f"({left.sql} {sign} {right.sql})"
            left = Operand(sql, left.values + right.values, left.kind)

    def _factor(self, depth: int) -> Operand:
        if depth > _DEEPEST:
            raise _invalid("the clause is nested too deep")
        if self._takes("-"):
            inner = self._factor(depth + 1)
            return Operand(f"(-{inner.sql})", inner.values, "number")
        if self._takes("("):
            inner = self._sum(depth + 1)
            self._expect(")")
            return inner
        group, token = self._next()
        match group:
            case "number":
                return Operand("?", (_number(token),), "number", True)
            case "text":
                return Operand("?", (_unquoted(token),), "text", True)
            case "quoted":
                return self._field(token[1:-1])
            case "word":
                return self._word(token, depth)
        raise _invalid(f"unexpected '{token}'")

    def _word(self, token: str, depth: int) -> Operand:
        lowered = token.lower()
        following = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        if lowered in ("date", "timestamp", "time") and following[0] == "text":
            text = _unquoted(self._next()[1])
            if lowered == "time":
                return Operand("?", (text,), "time-only", True)
            return Operand("?", (text,), "text", True)
        if lowered == "current_timestamp":
            return Operand("?", (self._now_ms,), "date", True)
        if lowered == "current_date":
            return Operand("?", (self._now_ms // 86_400_000 * 86_400_000,), "date", True)
        if lowered in _FUNCTIONS and following[1] == "(":
            self._expect("(")
            name, kind = _FUNCTIONS[lowered]
            parts = [self._sum(depth + 1)]
            while self._takes(","):
                parts.append(self._sum(depth + 1))
            self._expect(")")
            listed = ", ".join(part.sql for part in parts)
            values = tuple(value for part in parts for value in part.values)
            return Operand(f"{name}({listed})", values, "text" if kind == "text" else "number")
        return self._field(token)

    def _field(self, name: str) -> Operand:
        field = self._layer.by_name.get(name.lower())
        if field is None:
            raise _invalid(f"'{name}' is no field of {self._layer.name}")
        sql = f"{self._alias}.{column(self._layer, field.name)}"
        if field.kind == "timestamp-offset":
            return Operand(f"offset_ms({sql})", (), "date")
        return Operand(sql, (), field.kind)

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _invalid("the clause ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, wanted: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        group, token = self._tokens[self._at]
        if group in ("word", "sign") and token.upper() == wanted:
            self._at += 1
            return True
        return False

    def _expect(self, wanted: str) -> None:
        if not self._takes(wanted):
            found = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
            raise _invalid(f"expected '{wanted}', found '{found}'")


def _number(token: str) -> int | float:
    if any(sign in token for sign in ".eE"):
        return float(token)
    whole = int(token)
    return whole if whole < 1 << 63 else float(whole)


def _unquoted(token: str) -> str:
    return token[token.index("'") + 1 : -1].replace("''", "'")
