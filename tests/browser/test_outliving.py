"""Trainings seen through a real server and browser, both of which end in the middle."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from installed import until
from playwright.sync_api import Page, expect

from skin_model.jobs import queue
from skin_model.services import orders, registered
from skin_model.store import database

Visit = Callable[..., Page]


@pytest.fixture
def home(drawn_data: Path, split_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installation with a data set; its worker, which outlives every server, is ended with it."""
    home = tmp_path / "home"
    monkeypatch.setenv("SKIN_MODEL_HOME", str(home))
    registered.register(folder=drawn_data, split=split_file, who="ada")
    yield home
    with database.reading() as record:
        pids = [int(row.pid) for row in record.exec_driver_sql("SELECT pid FROM workers")]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Tab")


def prepare(page: Page, epochs: int) -> None:
    """Fill the form for a training of a tiny network."""
    page.get_by_text("Quick look (minutes)").click()
    expect(page.locator('input[aria-label="Size"][value="64"]')).to_be_visible()
    expect(page.locator('input[aria-label="Size"]')).to_have_count(1)  # those of the other preset have gone
    expect(page.locator('[data-testid="stApp"]')).to_have_attribute("data-test-script-state", "notRunning")
    page.get_by_text("More settings").click()
    expect(page.get_by_label("Patience", exact=True)).to_be_visible()
    fill(page, "Patience", "1000")  # it is to end when it is told to
    for label, value in (("Name", "from the page"), ("Size", "32"), ("Batch", "8"), ("Epochs", str(epochs))):
        fill(page, label, value)


def epoch_shown(page: Page) -> int:
    """The number of the epoch in the live panel."""
    line = page.get_by_text(re.compile(r"epoch \d+ of 900")).first
    expect(line).to_be_visible()
    found = re.search(r"epoch (\d+) of", line.inner_text())
    assert found
    return int(found[1])


@pytest.mark.timeout(900)
def test_a_training_outlives_browser_and_server_and_every_browser_sees_the_same(
    start_server: Callable[..., AbstractContextManager[str]], visit: Visit, home: Path
) -> None:
    with start_server(SKIN_MODEL_HOME=str(home)) as server:
        page = visit(f"{server}/training")
        prepare(page, 900)
        page.get_by_role("button", name="Start the training").dblclick()
        expect(page.get_by_text("The training is queued.")).to_be_visible()
        until(lambda: queue.listed() and orders.history(job=queue.listed()[0].id), "an epoch")
        (job,) = queue.listed()  # pressed twice: one
        page.reload()
        assert epoch_shown(page) >= 1
        page.context.close()
    # The server was ended by SIGKILL.
    before = len(orders.history(job=job.id))
    until(lambda: len(orders.history(job=job.id)) > before, "an epoch without a server")
    with start_server(SKIN_MODEL_HOME=str(home)) as server:
        both = []
        for _ in range(2):
            both.append(page := visit(f"{server}/training"))
            assert epoch_shown(page) > before
            expect(page.get_by_text("from the page: running")).to_be_visible()
            expect(page.locator(".js-plotly-plot")).to_have_count(2)
            points = page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace").first.locator(".points path")
            # the history from its first epoch on, not only what came since
            until(lambda points=points: points.count() > before, "the whole curve")
        one, other = both
        for page in both:  # pressed at once in both: one each
            prepare(page, 1)
        for page in both:
            page.get_by_role("button", name="Start the training").click()
        for page in both:
            expect(page.get_by_text("The training is queued.")).to_be_visible()
        until(lambda: len(queue.listed()) == 3, "two more jobs")
        assert [found.state for found in queue.listed()] == ["waiting", "waiting", "running"]
        one.locator(f".st-key-job-{job.id}").get_by_role("button", name="Cancel").click()
        expect(one.get_by_text("Cancelled: it stops soon")).to_be_visible()
        until(lambda: queue.find(job.id).state == "cancelled", "the cancelling")
        for waiting in queue.listed(states=["waiting", "running"]):
            orders.cancel(job=waiting.id, who="ada")
        expect(other.get_by_text("Nothing waits or runs.")).to_be_visible()
        expect(other.get_by_text("from the page: cancelled")).to_be_visible()
    histories = [record.epoch for record in orders.history(job=job.id)]
    assert histories == list(range(1, len(histories) + 1))
