"""Reasons to trust an answer and reasons not to, in a real browser: on a telephone, and for what is no dermoscopy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import skimage.data
from playwright.sync_api import Page, expect
from test_app import expect_no_fault, expect_no_sideways_scroll, expect_settled, give, map_of

from skin_model import settings

pytestmark = pytest.mark.timeout(900)
Visit = Callable[..., Page]
LESION = settings.ASSETS / "examples" / "mel-1.jpg"
LETTER = Path(skimage.data.__file__).parent / "page.png"
UNFOLDING = (
    "How sure is this?", "Deciding:", "Why? What speaks for", "Other explanations:", "Outline and measurements",
    "Similar confirmed cases:", "Patient (optional)", "Details:",
)  # fmt: skip


def test_everything_that_unfolds_fits_a_telephone_and_needs_no_mouse(server: str, visit: Visit) -> None:
    page = visit(f"{server}/analyse", width=390, height=844)
    expect(page.get_by_role("button", name="Example 1")).to_be_visible()
    give(page, LESION)
    map_of(page, LESION.name)
    for start in UNFOLDING:
        unfolding = page.locator("details").filter(has_text=start)
        unfolding.locator("summary").focus()
        page.keyboard.press("Enter")
        expect(unfolding).to_have_attribute("open", "")
        expect(unfolding.locator("p, table").nth(1)).to_be_visible()
        expect_settled(page)
        expect_no_sideways_scroll(page)
    page.get_by_role("button", name="Judge flipped and turned views").click()
    expect(page.locator("body")).to_contain_text("Of 8 views, flipped and turned,")
    expect_no_fault(page)


def test_a_letter_is_not_judged_until_someone_insists_and_the_warning_stays(server: str, visit: Visit) -> None:
    page = visit(f"{server}/analyse")
    expect(page.get_by_role("button", name="Example 1")).to_be_visible()
    give(page, LETTER)
    expect(page.locator(".st-key-not-judged")).to_contain_text("Not judged")
    expect(page.locator(".st-key-probabilities")).to_have_count(0)
    page.get_by_role("button", name="Judge all the same").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-overridden")).to_contain_text("do not rely on this answer")
    expect(page.locator(".st-key-probabilities")).to_contain_text("Melanoma")
    give(page, LESION)
    map_of(page, LESION.name)
    expect(page.locator(".st-key-overridden")).to_have_count(0)
    expect_no_fault(page)
