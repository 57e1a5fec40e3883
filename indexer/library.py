"""A library: one folder with a catalog, a key, an index. The one object everything else takes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from sqlalchemy import Engine, insert, select

from indexer import __version__
from indexer.catalog.database import migrate, open_engine, reading, transaction
from indexer.catalog.tables import Space, now
from indexer.encoders.open_ended import OPEN_NAMES
from indexer.errors import (
    ConfigError,
    LibraryCorruptError,
    LibraryLockedError,
    LibraryNotFoundError,
    LibraryVersionError,
    StorageFullError,
)
from indexer.reading.routing import FILE, Rule, read_rules
from indexer.registry import check_store, encoder_names, known_encoder
from indexer.types import EncoderSpec

FORMAT = 1
_KEY_BYTES = 32
_NO_KEY = "restore it from a backup: without it new files of known patients cannot be matched"
_FILE, _KEY, _CATALOG, _LOCK = "library.toml", "key", "catalog.sqlite", "writer.lock"


@dataclass(frozen=True)
class LibraryConfig:
    """What is fixed when a library is created.

    Attributes:
        id: a random UUID.
        created: ISO time.
        phi: ``"pseudonym"``, or ``"keep"`` to store real patient ids too.
        encoders: names of the encoders that fill its spaces.
        store: the vector store that answers its searches: a name, a kind (``faiss:hnsw``), a URL.
        key_check: a trace of the key file, by which an exchanged key is noticed; may be empty.
    """

    id: str
    created: str
    phi: str
    encoders: tuple[str, ...]
    store: str
    key_check: str


@dataclass(frozen=True)
class SpaceInfo:
    """A space of the catalog: what filled it, and how many deletions it has seen."""

    id: int
    encoder: str
    weights: str
    preprocessing: str
    dim: int
    notice: str
    generation: int


class Library:
    """An open library. Make one with `create` or `open`; close it, or use it in a ``with``."""

    def __init__(self, path: Path, config: LibraryConfig, key: bytes) -> None:
        self.path, self.config, self.key = path, config, key

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        phi: str = "pseudonym",
        encoders: tuple[str, ...] = ("texture",),
        store: str = "faiss",
        rules: Path | None = None,
    ) -> Library:
        """Make an empty library in a new or empty folder, with a copy of a file of ``rules``.

        Raises:
            ConfigError: the folder holds something, a name is unknown, or the rules are wrong.
            StorageFullError: the folder cannot be written.
        """
        _check_choices(phi, encoders, store)
        if rules is not None:
            if not rules.is_file():
                raise ConfigError(f"{rules} is not a file")
            read_rules(rules, encoders)
        path = path.absolute()
        # Built beside its place and renamed, so that a half-made library is never found.
        building = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise ConfigError(f"{path} exists and is not an empty folder; choose another")
            building.mkdir(parents=True)
            try:
                _write_new(building, phi, encoders, store)
                if rules is not None:
                    shutil.copyfile(rules, building / FILE)
                if path.exists():
                    path.rmdir()
                building.rename(path)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise StorageFullError(f"{path} cannot be created: {error.strerror}") from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the library in this folder, bringing its tables up to date if they are older.

        Raises:
            LibraryNotFoundError, LibraryVersionError, LibraryCorruptError: with what to do.
        """
        path = path.absolute()
        config = _read_config(path)
        library = cls(path, config, _read_key(path, config))
        if not (path / _CATALOG).is_file():
            raise LibraryCorruptError(
                f"{path} has no {_CATALOG}; restore it from a backup, or remove the folder and "
                "index the source files again"
            )
        try:
            migrate(library.engine)
        except BaseException:
            library.close()
            raise
        return library

    @cached_property
    def engine(self) -> Engine:
        """The catalog's database engine."""
        return open_engine(self.path / _CATALOG)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Which encoders get what, as ``routing.toml`` says; without it what each is made for.

        Raises:
            ConfigError: the file cannot be read, or names an encoder that the library has not.
        """
        return read_rules(self.path / FILE, self.config.encoders)

    def with_store(self, spec: str) -> Library:
        """The same library as if another store answered its searches; nothing is written.

        Raises:
            ConfigError: there is no such store.
        """
        check_store(spec)
        return Library(self.path, replace(self.config, store=spec), self.key)

    def choose_store(self, spec: str) -> None:
        """Note in ``library.toml`` which store answers from now on; only a writer should.

        Raises:
            ConfigError: there is no such store.
            StorageFullError: the file cannot be written.
        """
        check_store(spec)
        file = self.path / _FILE
        stored = tomllib.loads(file.read_text(encoding="utf-8")) | {"store": spec}
        temporary = file.with_name(f".{_FILE}.{os.getpid()}")
        with _writable(self.path):
            with temporary.open("w", encoding="utf-8") as handle:
                handle.write(_toml(stored))
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(file)
        self.config = replace(self.config, store=spec)

    @property
    def index_folder(self) -> Path:
        """Where index snapshots lie; everything in it can be rebuilt."""
        return self.path / "index"

    @property
    def scratch_folder(self) -> Path:
        """Where a run keeps what it need not keep; emptied when a writer starts."""
        return self.path / "tmp"

    @property
    def inbox_folder(self) -> Path:
        """Where objects that were sent to the library lie: originals, which nothing else holds."""
        return self.path / "inbox"

    def close(self) -> None:
        """Let go of the database."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer; readers are not disturbed.

        Raises:
            LibraryLockedError: another process is writing; the message has its process id.
            StorageFullError: the folder cannot be written.
        """
        with self._alone(_LOCK, f"{self.path} is being written"):
            with _writable(self.path):
                shutil.rmtree(self.scratch_folder, ignore_errors=True)
                self.scratch_folder.mkdir(exist_ok=True)
            try:
                yield
            finally:
                shutil.rmtree(self.scratch_folder, ignore_errors=True)

    @contextmanager
    def busy_with(self, task: str, doing: str) -> Iterator[None]:
        """Be the only process at a task that keeps no writer out.

        Args:
            task: letters, digits and dashes.
            doing: what is being done, for the message.

        Raises:
            LibraryLockedError: another process is at it; the message has its process id.
            StorageFullError: the folder cannot be written.
        """
        with self._alone(f"{task}.lock", doing):
            yield

    @contextmanager
    def _alone(self, file: str, doing: str) -> Iterator[None]:
        with _writable(self.path):
            lock = (self.path / file).open("a+")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                owner = lock.read().strip() or "unknown"
                raise LibraryLockedError(
                    f"{doing} by process {owner}; wait until it has finished, or stop it"
                ) from error
            with _writable(self.path):
                lock.truncate(0)
                lock.write(str(os.getpid()))
                lock.flush()
            try:
                yield
            finally:
                with suppress(OSError):
                    lock.truncate(0)

    def spaces(self) -> list[SpaceInfo]:
        """All spaces, oldest first."""
        with reading(self.engine) as db:
            return [_space_info(row) for row in db.execute(select(Space).order_by(Space.id))]

    def space_for(self, spec: EncoderSpec) -> SpaceInfo | None:
        """The space that this encoder, with these weights and this preprocessing, fills."""
        wanted = (spec.name, spec.weights, spec.preprocessing)
        for space in self.spaces():
            if (space.encoder, space.weights, space.preprocessing) == wanted:
                return space
        return None

    def ensure_space(self, spec: EncoderSpec) -> SpaceInfo:
        """The encoder's space, made if the library has none yet."""
        found = self.space_for(spec)
        if found is not None:
            return found
        with transaction(self.engine) as db:
            db.execute(
                insert(Space).values(
                    encoder=spec.name,
                    weights=spec.weights,
                    preprocessing=spec.preprocessing,
                    dim=spec.dim,
                    notice=spec.notice,
                )
            )
        made = self.space_for(spec)
        assert made is not None  # noqa: S101 - it was just inserted
        return made


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageFullError(f"{path} cannot be written: {error.strerror}") from error


def _space_info(row: object) -> SpaceInfo:
    names = SpaceInfo.__dataclass_fields__
    return SpaceInfo(**{name: getattr(row, name) for name in names})


def _check_choices(phi: str, encoders: tuple[str, ...], store: str) -> None:
    if phi not in ("pseudonym", "keep"):
        raise ConfigError(f"--phi is 'pseudonym' or 'keep', not '{phi}'")
    unknown = sorted(name for name in set(encoders) if not known_encoder(name))
    if unknown or not encoders:
        raise ConfigError(
            f"unknown encoder {', '.join(unknown) or '(none given)'}; "
            f"there are: {', '.join([*encoder_names(), *OPEN_NAMES])}"
        )
    check_store(store)


def _write_new(folder: Path, phi: str, encoders: tuple[str, ...], store: str) -> None:
    key = secrets.token_bytes(_KEY_BYTES)
    descriptor = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(key)
    (folder / "index").mkdir()
    engine = open_engine(folder / _CATALOG)
    try:
        migrate(engine, create=True)
    finally:
        engine.dispose()
    lines = {
        "format": FORMAT,
        "id": str(uuid.uuid4()),
        "created": now().isoformat(timespec="seconds"),
        "created_by": f"syntopy {__version__}",
        "phi": phi,
        "encoders": list(encoders),
        "store": store,
        "key_check": _key_check(key),
    }
    (folder / _FILE).write_text(_toml(lines), encoding="utf-8")


def _toml(lines: Mapping[str, object]) -> str:
    # JSON's numbers, strings and lists of strings are TOML's too.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in lines.items())


def _read_config(path: Path) -> LibraryConfig:
    file = path / _FILE
    if not file.is_file():
        raise LibraryNotFoundError(
            f"there is no library in {path}; make one with: syntopy init {path}"
        )
    try:
        stored = tomllib.loads(file.read_text(encoding="utf-8"))
        if stored["format"] != FORMAT:
            raise LibraryVersionError(
                f"{path} is a library of format {stored['format']}, this version reads format "
                f"{FORMAT}; use the syntopy version that made it ({stored.get('created_by')})"
            )
        words = {n: stored[n] for n in ("id", "created", "phi", "store")}
        words["key_check"] = stored.get("key_check", "")
        encoders = tuple(stored["encoders"])
        if not all(isinstance(word, str) for word in (*words.values(), *encoders)):
            raise TypeError
        return LibraryConfig(**words, encoders=encoders)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise LibraryCorruptError(
            f"{file} is damaged ({type(error).__name__}); restore it from a backup"
        ) from error
    except OSError as error:
        raise LibraryCorruptError(f"{file} cannot be read: {error.strerror}") from error


def _read_key(path: Path, config: LibraryConfig) -> bytes:
    try:
        key = (path / _KEY).read_bytes()
    except OSError as error:
        raise LibraryCorruptError(
            f"the key file of {path} cannot be read ({error.strerror}); {_NO_KEY}"
        ) from error
    if config.key_check and _key_check(key) != config.key_check:
        raise LibraryCorruptError(
            f"the key file of {path} is not the one the library was made with; {_NO_KEY}"
        )
    return key


def _key_check(key: bytes) -> str:
    return hashlib.sha256(b"syntopy key\0" + key).hexdigest()[:16]
