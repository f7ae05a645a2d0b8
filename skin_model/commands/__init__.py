"""Groups of commands; each module adds its own to the command line.  What they share stands here."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skin_model import files

OK, SOME_FAILED, REFUSED, STOPPED = 0, 1, 2, 130


@contextmanager
def json_file(path: Path | None) -> Iterator[Callable[[object], None]]:
    """A function that writes JSON to `path`, whole or not at all; opened first, so that nothing is computed in vain."""
    if path is None:
        yield lambda _: None
        return
    with files.whole(path) as partial, partial.open("w", encoding="utf-8") as file:
        yield lambda content: print(json.dumps(content, indent=1), file=file)
