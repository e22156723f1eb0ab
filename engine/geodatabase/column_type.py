"""The declared type of a column, changed without rewriting its rows.

SQLite keeps any value in any column; the declaration is for programs that read it, which would cut
longer texts or larger numbers off. It is changed in the stored text of the CREATE TABLE statement,
as sqlite.org/lang_altertable.html, "Making other kinds of table schema changes", describes for
changes that do not touch what is on the disk.
"""

import re
import sqlite3

_TOKEN = re.compile(
    r"""\s+|--[^\n]*|/\*.*?\*/|"(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]"""
    r"""|[A-Za-z_\u0080-\U0010ffff][\w$]*|[0-9.]+|.""",
    re.DOTALL,
)
_CONSTRAINTS = frozenset(
    {"constraint", "primary", "not", "null", "unique", "check", "default", "collate"}
    | {"references", "generated", "as"}
)


def declare_type(connection: sqlite3.Connection, table: str, column: str, kind: str) -> bool:
    """Declare ``column`` of ``table`` as ``kind`` in the open transaction; False if it cannot be.

    Then nothing has changed: the column holds the new values all the same.
    """
    (sql,) = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
    ).fetchone()
    changed = with_type(sql, column, kind)
    if changed is None or changed == sql:
        return changed is not None
    before = _columns(connection, table)
    connection.execute("SAVEPOINT fieldsync_type")
    try:
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?", (changed, table)
        )
        # Other programs, and this connection, read the schema anew when the number differs.
        connection.execute(f"PRAGMA schema_version = {version + 1}")
        expected = {n: (kind if n.casefold() == column.casefold() else t) for n, t in before}
        is_good = _columns(connection, table) == list(expected.items())
    except sqlite3.OperationalError:
        is_good = False
    finally:
        connection.execute("PRAGMA writable_schema = OFF")
    if not is_good:
        connection.execute("ROLLBACK TO fieldsync_type")
    connection.execute("RELEASE fieldsync_type")
    return is_good


def with_type(sql: str, column: str, kind: str) -> str | None:
    """The CREATE TABLE statement with another type for a column; None if it is not understood."""
    tokens = _TOKEN.findall(sql)
    depth, at_start, found = 0, False, None
    for at, token in enumerate(tokens):
        if token == "(":
            depth += 1
            at_start = depth == 1
            continue
        if token == ")":
            depth -= 1
        elif token == "," and depth == 1:
            at_start = True
        elif at_start and not _is_space(token):
            at_start = False
            if _unquoted(token).casefold() == column.casefold():
                found = at
                break
    if found is None:
        return None
    end, depth = found + 1, 0
    while end < len(tokens):
        token = tokens[end]
        if depth == 0 and (token in (",", ")") or token.casefold() in _CONSTRAINTS):
            break
        depth += (token == "(") - (token == ")")
        end += 1
    if end == len(tokens):
        return None
    rest = "".join(tokens[end:])
    return "".join(tokens[: found + 1]) + f" {kind}" + ("" if rest[0] in ",)" else " ") + rest


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, type FROM pragma_table_info(?)", (table,)).fetchall()


def _is_space(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def _unquoted(token: str) -> str:
    if token[0] in "\"'`" and token[-1] == token[0]:
        return token[1:-1].replace(token[0] * 2, token[0])
    return token[1:-1] if token[0] == "[" else token
