"""How work runs on a connection, from beginning to end in one thread."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from engine import faults
from engine.geodatabase.applying import applying as own_writes

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def reading(
    raw: sqlite3.Connection, function: Callable[[sqlite3.Connection, *Ts], T], args: tuple[*Ts]
) -> T:
    """Run ``function(raw, *args)`` on one state of the file, whatever is written meanwhile."""
    if raw.in_transaction:
        return function(raw, *args)
    raw.execute("BEGIN")
    try:
        return function(raw, *args)
    finally:
        rollback(raw)


def staging(
    raw: sqlite3.Connection, function: Callable[[sqlite3.Connection, *Ts], T], args: tuple[*Ts]
) -> T:
    """Run ``function(raw, *args)``, which writes temporary tables only: they are in a file of
    their own, so nobody's lock is taken."""
    raw.execute("BEGIN")
    try:
        result = function(raw, *args)
        raw.execute("COMMIT")
    except BaseException:
        rollback(raw)
        raise
    return result


def transaction(
    raw: sqlite3.Connection,
    function: Callable[[sqlite3.Connection, *Ts], T],
    args: tuple[*Ts],
    applying: bool,
) -> T:
    """Run ``function(raw, *args)`` in a transaction of its own: all of it or nothing."""
    raw.execute("BEGIN IMMEDIATE")
    try:
        result = _run(raw, function, args, applying)
        raw.execute("COMMIT")
    except BaseException:
        rollback(raw)
        raise
    faults.point("transaction.committed")
    return result


def savepoint(
    raw: sqlite3.Connection,
    function: Callable[[sqlite3.Connection, *Ts], T],
    args: tuple[*Ts],
    applying: bool,
) -> T:
    """Run ``function(raw, *args)`` inside the open transaction: all of it or nothing."""
    raw.execute("SAVEPOINT fieldsync")
    try:
        result = _run(raw, function, args, applying)
        raw.execute("RELEASE fieldsync")
    except BaseException:
        if raw.in_transaction:
            raw.execute("ROLLBACK TO fieldsync")
            raw.execute("RELEASE fieldsync")
        raise
    return result


def _run(
    raw: sqlite3.Connection,
    function: Callable[[sqlite3.Connection, *Ts], T],
    args: tuple[*Ts],
    applying: bool,
) -> T:
    if not applying:
        return function(raw, *args)
    with own_writes(raw):
        return function(raw, *args)


def commit(raw: sqlite3.Connection) -> None:
    """Commit; if that fails, roll back."""
    try:
        raw.execute("COMMIT")
    except BaseException:
        rollback(raw)
        raise


def rollback(raw: sqlite3.Connection) -> None:
    """Roll back, unless SQLite did it by itself, as after some errors."""
    if raw.in_transaction:
        raw.execute("ROLLBACK")
