"""A real server and a real Chromium: what the tests of this folder drive."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds for a start or an answer: a machine may be busy with a training


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--screenshots", metavar="DIR", type=Path,
        help="folder for the pictures of the scripted demonstration (docs makes those of docs/demo.md anew)",
    )  # fmt: skip


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The folder given with --screenshots, by default one that pytest clears away."""
    folder = request.config.getoption("screenshots", default=None) or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., AbstractContextManager[str]]:
    """Starts the app in a process of its own, with the given environment variables; gives its address."""

    def start(**environment: str) -> AbstractContextManager[str]:
        return _serving(tmp_path_factory.mktemp("server") / "log.txt", environment)

    return start


@pytest.fixture(scope="module")
def server(start_server: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    """One running app for the tests to which a cold start is not the point."""
    with start_server() as address:
        yield address


@contextmanager
def _serving(log: Path, environment: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    # Without a data set the examples are the drawn ones, of which screenshots may be published.
    environment = {**os.environ, "SKIN_MODEL_DATA": "", **environment}
    with (
        log.open("wb") as file,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        ) as process,
    ):
        try:
            _wait_until_up(process, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    written = log.read_text(errors="replace")
    assert "Traceback" not in written, written


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _healthy(port):
        with suppress(subprocess.TimeoutExpired):
            raise RuntimeError(f"The server ended with status {process.wait(0.1)}:\n{log.read_text()}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server does not answer:\n{log.read_text()}")


def _healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/_stcore/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed; Debian's package is called chromium")
    expect.set_options(timeout=1000 * PATIENCE)
    arguments = ["--no-sandbox", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments, timeout=1000 * PATIENCE)
        yield browser
        browser.close()


@contextmanager
def _visiting(chromium: Browser) -> Iterator[Callable[..., Page]]:
    contexts: list[BrowserContext] = []
    requested: list[str] = []

    def visit(address: str, *, width: int = 1440, height: int = 900) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.set_default_timeout(1000 * PATIENCE)
        context.on("request", lambda request: requested.append(request.url))
        page = context.new_page()
        page.on("websocket", lambda socket: requested.append(socket.url))
        page.goto(address)
        return page

    yield visit
    for context in contexts:
        context.close()
    abroad = [url for url in requested if urlsplit(url.removeprefix("blob:")).hostname not in ("127.0.0.1", None)]
    assert not abroad, "the page asked other machines"
    assert any(url.startswith("ws:") for url in requested), "nothing was recorded"


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a browser session of its own; in the end no request may have left this machine."""
    with _visiting(chromium) as visit:
        yield visit


@pytest.fixture(scope="module")
def tab(chromium: Browser, server: str) -> Iterator[Page]:
    """One analyse page that stays open from test to test, as at a clinician's desk."""
    with _visiting(chromium) as visit:
        yield visit(f"{server}/analyse")
