"""How long a person waits: for the home page, and for a first analysis after a cold start of the server.

    python -m benchmarks.cold_start

Needs Chromium and playwright.  Every measurement has its own server process and its own browser profile; the files
themselves may lie in the system's page cache.  The clock starts when the browser is told the address.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measuring import ROOT, Comparison, arguments, folder_of, parsed, photographs, report

PATIENCE = 120  # seconds, for a server or a page
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def server() -> Iterator[str]:
    """A fresh server of the app; yields its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "SKIN_MODEL_DATA"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT, env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/_stcore/health", process)
            yield address
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("The server did not start; try `streamlit run app.py`.")


def home(page: Any, address: str, picture: Path) -> float:
    """Seconds until the home page shows its title."""
    began = time.monotonic()
    page.goto(address, wait_until="commit")
    page.locator("h1").first.wait_for()
    return time.monotonic() - began


def first_analysis(page: Any, address: str, picture: Path) -> float:
    """Seconds until decision, picture under its map and probabilities are all seen."""
    began = time.monotonic()
    page.goto(f"{address}/analyse", wait_until="commit")
    page.locator("h1").first.wait_for()
    if _examples():
        page.get_by_role("button", name="Example 1").click()
    else:
        page.locator("input[type=file]").first.set_input_files(picture)
    page.get_by_role("heading", name=re.compile("Refer|Below")).wait_for()
    page.get_by_alt_text(re.compile("Grad-CAM|no evidence")).first.wait_for()
    page.locator("[data-testid=stPlotlyChart] .barlayer .point").first.wait_for()
    return time.monotonic() - began


def _examples() -> bool:
    return any((ROOT / "assets" / "examples").glob("*.jpg"))


def main() -> None:
    args = parsed(arguments("First paint of the home page and first analysis after a cold start.", rounds=3))
    from playwright.sync_api import sync_playwright

    pictures, source = photographs(args.data, 1)
    seconds: dict[str, list[float]] = {"home": [], "analysis": []}
    with folder_of(pictures) as folder, sync_playwright() as playwright:
        picture = next(Path(folder).iterdir())
        browser = playwright.chromium.launch(
            executable_path=next(filter(None, map(shutil.which, BROWSERS)), None), args=["--no-sandbox"]
        )
        for _ in range(args.rounds):
            for name, measure in (("home", home), ("analysis", first_analysis)):
                with server() as address:
                    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
                    page.set_default_timeout(1000 * PATIENCE)
                    seconds[name].append(measure(page, address, picture))
                    page.context.close()
        version = browser.version
        browser.close()
    first, done = (statistics.median(t) for t in seconds.values())
    given = "an example" if _examples() else f"an upload ({source})"
    report(
        args,
        [
            Comparison("first content of the home page, first visit", first, None, "s", first, "at most 2 s"),
            Comparison(f"cold server: from opening the page to the analysis of {given}", done, None, "s", done,
                       "at most 4 s"),
        ],
        {"browser": f"Chromium {version}, headless", "repetitions": f"{args.rounds}, each with a fresh server"},
    )  # fmt: skip


if __name__ == "__main__":
    main()
