"""The one place where names become part of SQL text."""

from collections.abc import Iterable


def quote(name: str) -> str:
    """``name`` as an SQL identifier (sqlite.org/lang_keywords.html). Never for values: bind those.

    :exc:`ValueError` for a NUL, which no SQLite identifier can hold.
    """
    if "\0" in name:
        raise ValueError("an SQL name cannot hold a NUL")
    return '"' + name.replace('"', '""') + '"'


def quoted(names: Iterable[str]) -> str:
    """The names quoted and separated by commas."""
    return ",".join(map(quote, names))


def literal(text: str) -> str:
    """``text`` as an SQL string literal, for DDL only, where nothing can be bound."""
    if "\0" in text:
        raise ValueError("an SQL literal cannot hold a NUL")
    return "'" + text.replace("'", "''") + "'"
