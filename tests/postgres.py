"""A PostgreSQL server of one test run's own, where the machine has the programs."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    there = shutil.which("initdb")
    return Path(there).parent if there else found[-1].parent if found else None


@contextmanager
def server() -> Iterator[str]:
    """The address of a fresh server, postgresql://...; skips where there is none to start."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed; Debian's package is called postgresql")
    other: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
        # Not Popen's `user`: it forks the whole process, with the threads of TensorFlow and OpenBLAS at work
        other = ["runuser", "-u", "postgres", "--"]
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        if other:
            shutil.chown(folder, "postgres")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        data = Path(folder) / "data"
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "check": True}
        subprocess.run([*other, programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "--no-sync"], **quiet)
        options = f"-c port={port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        subprocess.run([*other, programs / "pg_ctl", "-D", data, "-w", "-o", options, "start"], **quiet)
        try:
            yield f"postgresql://tester@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*other, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
