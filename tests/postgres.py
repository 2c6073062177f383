"""A PostgreSQL cluster of one's own on loopback, from the binaries of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: PostgreSQL refuses to run as root.
_USERS = ("postgres", "nobody")
_ROLE = "mmfs"


@dataclass
class Postgres:
    """A running cluster.

    Attributes:
        url: ``postgresql://user:password@host:port/database``.
        password: What is secret in it.
    """

    url: str
    password: str
    _process: subprocess.Popen[bytes]

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement; its rows, if it has any."""
        import psycopg2

        writable = "-c default_transaction_read_only=off"  # whatever a test has made the default
        connection = psycopg2.connect(self.url, connect_timeout=5, options=writable)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def dump(self) -> str:
        """Every row of every table as text."""
        tables = self.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return "\n".join(str(row[0]) for (table,) in tables for row in self.sql(f'SELECT t::text FROM "{table}" AS t'))

    def stop(self) -> None:
        """End it; who is connected is cut off."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)


def why_no_postgres() -> str | None:
    """Why no cluster can be made here; None where one can."""
    lacking = [name for name in ("initdb", "postgres") if shutil.which(name) is None]
    if lacking:
        return f"there is no {lacking[0]} on the path: Debian has it in the package postgresql"
    if os.getuid() == 0 and _user() is None:
        return f"PostgreSQL does not run as root, and there is no user {' or '.join(_USERS)}"
    return None


@contextmanager
def postgres_server(*, password: str = "of-tests-only") -> Iterator[Postgres]:
    """An empty cluster that ends, and whose files go, with the block."""
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="mmfs-postgres-"))
    process = None
    try:
        (folder / "password").write_text(password)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        words = f"-U {_ROLE} -A scram-sha-256 -E UTF8 --locale=C --no-sync".split()
        make = [shutil.which("initdb"), "-D", folder / "data", *words, f"--pwfile={folder / 'password'}"]
        _run(make, folder, user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {"fsync": "off", "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": folder}
        command = [shutil.which("postgres") or "", "-D", str(folder / "data"), "-c", "max_connections=200"]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                user=user,
                extra_groups=[] if user else None,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        found = Postgres(f"postgresql://{_ROLE}:{password}@127.0.0.1:{port}/postgres", password, process)
        _wait(found, folder)
        yield found
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _user() -> str | None:
    """Whom to run it as; None for ourselves."""
    if os.getuid() != 0:
        return None
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _USERS if name in names), None)


def _run(command: Sequence[object], folder: Path, user: str | None) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        user=user,
        extra_groups=[] if user else None,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def _wait(found: Postgres, folder: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and found._process.poll() is None:
        try:
            found.sql("SELECT 1")
            return
        except psycopg2.OperationalError:
            time.sleep(0.05)
    raise AssertionError((folder / "log").read_text(errors="replace"))
