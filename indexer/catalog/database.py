"""Opening a catalog: engine, pragmas, migrations, and foreign errors translated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError, OperationalError

from indexer.catalog.words import refresh_words
from indexer.errors import (
    LibraryCorruptError,
    LibraryLockedError,
    LibraryVersionError,
    StorageFullError,
)

_MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0010"
"""The newest migration; a test compares it with the migrations folder."""
_BUSY_MS = 30_000
_DAMAGED = (
    "catalog.sqlite is damaged; restore it from a backup, or remove the library folder and index "
    "the source files again"
)


def open_engine(path: Path) -> Engine:
    """An engine on a SQLite catalog in WAL mode, foreign keys on, durable at every commit."""
    url = URL.create("sqlite", database=str(path))  # a path may hold ? and #
    # Two for each of the 14 threads that a service has at most.
    engine = create_engine(url, max_overflow=25, connect_args={"timeout": _BUSY_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        # SQLite's own folds ASCII only.
        connection.create_function("lower", 1, _lower, deterministic=True)
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys=ON")
        # FULL: a commit that was acknowledged survives a power cut, not only a killed process.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA temp_store=MEMORY")
        # Freed pages are overwritten, so that what was removed or replaced cannot be read back.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    return engine


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def migrate(engine: Engine, *, create: bool = False) -> None:
    """Bring a catalog to this version's tables; with ``create`` a new file gets all of them.

    Raises:
        LibraryVersionError: the catalog was written by a newer version.
        LibraryCorruptError: the file is no catalog, or has no tables any more.
    """
    with translated(), engine.connect() as connection:
        current = _revision(connection)
        if current == HEAD:
            return
        if current is None:
            if not create:
                raise LibraryCorruptError(_DAMAGED)
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.commit()
        _upgrade(connection, current)
        connection.commit()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def _upgrade(connection: Connection, current: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - slow to load, and hardly ever needed
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    # All or nothing: a killed process leaves no half-made tables, and a second one waits.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise LibraryVersionError(
            f"this library was written by another version (catalog revision {current}); "
            "upgrade syntopy to open it"
        ) from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction that commits at the end or leaves nothing, errors translated.

    Nobody else writes from its first statement on, so that what it reads stays true until it
    ends; another one waits. What it changed can be found by its words when it has committed.
    """
    with translated(), engine.begin() as connection:
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE"
        )  # else that of the first change, at the soonest
        yield connection
        refresh_words(connection)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A consistent view for reading, errors translated."""
    with translated(), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # else each statement would see a state of its own
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn database errors into ours, each with what to do about it."""
    try:
        yield
    except OperationalError as error:
        text = str(error.orig).lower()
        if "full" in text or "disk i/o" in text or "readonly" in text:
            raise StorageFullError(
                "the catalog cannot be written: disk full or read-only; free space and run the "
                "same command again, what was committed is safe"
            ) from error
        if "locked" in text or "busy" in text:
            raise LibraryLockedError(
                "the catalog is locked by another process; wait for it or stop it"
            ) from error
        if "unable to open" in text:
            raise StorageFullError("the catalog file cannot be opened for writing") from error
        if "no such table" in text or "no such column" in text:
            raise LibraryCorruptError(_DAMAGED) from error
        raise
    except DatabaseError as error:
        if isinstance(error.orig, sqlite3.DatabaseError) and (
            "malformed" in str(error.orig) or "not a database" in str(error.orig)
        ):
            raise LibraryCorruptError(_DAMAGED) from error
        raise
