"""Files that are whole or not there, and folders that one process has for itself."""

import errno
import fcntl
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skin_model.errors import BusyError

# what reading an archive raises that is damaged, incomplete or holds something else
UNREADABLE = (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` to write to; it becomes `path` by one rename, or is removed where the block failed.

    A link stays one, with what it leads to renamed to; a device or a pipe is written to directly.

    Raises:
        IsADirectoryError: `path` is a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()
    partial = path.with_name("partial." + path.name)  # in front: Keras goes by the suffix
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def held(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Have a folder for this block alone; the system lets go of it however the process ends.

    The folder is made where it is missing, and removed again where nothing was written to it.

    Args:
        folder: to have.
        wait: until whoever holds it lets go; for what takes moments.

    Raises:
        BusyError: somebody else holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BusyError(
                f"Another process is at work in {folder}. Wait until it has ended, or name another folder."
            ) from error
        try:
            yield
        finally:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    finally:
        os.close(handle)


def shown(name: str) -> str:
    """A file name as text that can be written and sent: on Linux it may be any bytes; those not UTF-8 are escaped."""
    return os.fsencode(name).decode(errors="backslashreplace")
