"""A PostgreSQL of this machine's own, on loopback, for as long as a test needs it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATIENCE = 60.0


def programs() -> Path | None:
    """The folder of initdb and the like, of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    return found[-1].parent if found else None


def _version(path: Path) -> float:
    return float(path.parents[1].name)


def unusable() -> str:
    """Why no cluster can be made here; "" if one can."""
    if programs() is None:
        return "PostgreSQL is not installed"
    if os.geteuid() == 0 and "postgres" not in {each.pw_name for each in pwd.getpwall()}:
        return "PostgreSQL does not run as root, and there is no user postgres"
    return ""


@dataclass(frozen=True)
class Cluster:
    """One that runs, with one database."""

    port: int
    asking: Mapping[str, str]

    def rows(self, query: str) -> list[str]:
        psql = [str(_program("psql")), "--no-psqlrc", "--tuples-only", "--no-align", "-c", query]
        said = subprocess.run(psql, env=self.asking, capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr
        return said.stdout.split()


@contextmanager
def postgres(
    user: str, database: str, password: str, initdb: list[str], port: int
) -> Iterator[Cluster]:
    """A cluster with a database that only this user opens, with this password.

    Args:
        initdb: further arguments of initdb.
        port: a free one.
    """
    # pytest's own folders are closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="postgres-") as named:
        folder = Path(named)
        (folder / "password").write_text(password)
        as_user: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
            as_user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        made = subprocess.run(
            [_program("initdb"), "-D", folder / "data", "-U", user, "--pwfile", folder / "password",
             "--no-sync", *initdb],
            capture_output=True, text=True, check=False, **as_user,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        asking = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": user}
        asking |= {"PGPASSWORD": password, "PGDATABASE": database, "PATH": os.environ["PATH"]}
        command = [_program("postgres"), "-D", folder / "data", "-p", str(port), "-c",
                   "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]  # fmt: skip
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen(command, stdout=log, stderr=log, **as_user) as process,
        ):
            try:
                until = time.monotonic() + _PATIENCE
                while subprocess.run(
                    [_program("pg_isready"), "-q"], env=asking, check=False
                ).returncode:
                    assert process.poll() is None, (folder / "log").read_text()
                    assert time.monotonic() < until, "PostgreSQL does not answer"
                    time.sleep(0.1)
                subprocess.run([_program("createdb"), "--maintenance-db=postgres", database],
                               env=asking, check=True)  # fmt: skip
                yield Cluster(port, asking)
            finally:
                process.send_signal(signal.SIGINT)  # its clients are let go of
                process.wait(_PATIENCE)


def _program(name: str) -> Path:
    found = programs()
    assert found is not None
    return found / name
