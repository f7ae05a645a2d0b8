"""The app as its users meet it: a real server, a real Chromium, real files."""

import base64
import hashlib
import io
import json
import re
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Locator, Page, expect
from pydicom.dataset import FileDataset, FileMetaDataset
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from skin_model import settings
from skin_model.charts import display_copy
from skin_model.dataset.drawn import draw_lesion
from skin_model.entities import Analysis, Example, Patient
from skin_model.services import analysis
from skin_model.taxonomy import BY_CODE, CODES, DIAGNOSES

pytestmark = pytest.mark.timeout(900)
Visit = Callable[..., Page]
Shoot = Callable[[str], None]
ROOT = Path(__file__).resolve().parents[2]
HEADINGS = {
    "": "A second look at a pigmented lesion",
    "analyse": "Analyse an image",
    "models": "Models",
    "training": "Train a model",
}
ADDRESSES = ["", *sorted(path.stem for path in (ROOT / "pages").glob("*.py"))]
DISCLAIMER = ("not a diagnosis", "Not cleared as a medical device", "research and education")
ROUNDED = 0.00051  # the page shows three decimals, the downloads all of them
STRENGTH = 0.45  # of the map, before the slider is touched


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    """Real images, as a clinician would give them, where the data set lies; otherwise the drawn examples."""
    real = sorted((ROOT.parent / "shared" / "data" / "full_size_examples").glob("*.jpg"))
    return real or sorted((settings.ASSETS / "examples").glob("*.jpg"))


def give(page: Page, *files: Path) -> None:
    page.locator('input[type="file"]').set_input_files(files)


def map_of(page: Page, name: str, diagnosis: str = "") -> Locator:
    """The picture under its map, once it is that of this file (and of this class)."""
    ending = f'[alt$="for {diagnosis}"]' if diagnosis else ""
    picture = page.locator(f'.viewer img[alt^="{name}: "]{ending}')
    expect(picture).to_be_visible()
    expect_settled(page)  # until then Streamlit keeps what was shown before beside it
    return picture


def details_of(page: Page, data: bytes) -> Locator:
    """What unfolds under the result, which is that of these bytes."""
    expect_settled(page)
    details = page.locator("details").filter(has_text="Details: probabilities")
    if details.get_attribute("open") is None:
        details.locator("summary").click()
    expect(details).to_contain_text(hashlib.sha256(data).hexdigest())
    expect(details.get_by_role("table")).to_be_visible()
    return details


def tabled(details: Locator) -> dict[str, float]:
    """Name -> probability, as the table of the details writes them."""
    rows = details.locator("tr").evaluate_all("rows => rows.map(row => [...row.cells].map(cell => cell.innerText))")
    return {name: float(probability) for name, _, probability in rows[1:]}


def expected(data: bytes, patient: Patient | None = None) -> dict[str, float]:
    """Name -> probability, as the service gives them without server and browser."""
    judged = analysis.analyse(data=data)
    found = (judged.for_patient(patient) if patient else judged.prediction).by_code()
    return {BY_CODE[code].name: pytest.approx(value, abs=ROUNDED) for code, value in found.items()}


def pixels(picture: Locator) -> np.ndarray:
    """What the viewer shows, RGB (H, W, 3), in whole numbers that may be subtracted."""
    encoded = base64.b64decode((picture.get_attribute("src") or "").split(",")[1])
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of two pictures in grey levels; the viewer's JPEG alone makes about one."""
    return float(np.abs(one.astype(int) - other).mean())


def most_apart(one: np.ndarray, other: np.ndarray) -> float:
    """The same, of the hundredth part of the pictures where it is greatest: a map may be small."""
    return float(np.percentile(np.abs(one.astype(int) - other), 99))


def expect_settled(page: Page) -> None:
    """The server has said all it had to say for now."""
    expect(page.locator('[data-testid="stApp"]')).to_have_attribute("data-test-script-state", "notRunning")


def expect_no_fault(page: Page) -> None:
    expect(page.locator('[data-testid="stException"]')).to_have_count(0)
    expect(page.locator("body")).not_to_contain_text("Traceback")


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: address or "home")
def test_each_page_opened_cold_by_its_own_address_comes_up_with_disclaimer_and_model(
    start_server: Callable[..., AbstractContextManager[str]], visit: Visit, address: str
) -> None:
    with start_server() as server:
        page = visit(f"{server}/{address}")
        for words in DISCLAIMER:
            expect(page.get_by_text(words)).to_be_in_viewport()
        expect(page.get_by_role("heading", level=1)).to_have_text(HEADINGS[address])
        expect(page.get_by_role("status").get_by_text("● Model")).to_be_visible()
        expect_no_fault(page)


def test_the_uploader_is_left_alone_when_the_model_has_loaded_behind_it(
    start_server: Callable[..., AbstractContextManager[str]], visit: Visit
) -> None:
    """A file handed over just as a run of the page begins would be lost without a word."""
    ended: list[int] = []  # how each run ended, of the page and of parts of it

    def keep_runs(frame: bytes | str) -> None:
        message = ForwardMsg.FromString(frame) if isinstance(frame, bytes) else ForwardMsg()
        if message.WhichOneof("type") == "script_finished":
            ended.append(message.script_finished)

    with start_server() as server:
        page = visit(f"{server}/_stcore/health")
        page.on("websocket", lambda socket: socket.on("framereceived", keep_runs))
        page.goto(f"{server}/analyse")
        expect(page.get_by_role("status").get_by_text("● Model")).to_be_visible()
        expect_settled(page)
        assert ended.count(ForwardMsg.FINISHED_SUCCESSFULLY) == 1
        give(page, settings.ASSETS / "examples" / "mel-1.jpg")
        map_of(page, "mel-1.jpg")


def test_on_a_telephone_what_is_waited_for_stands_in_sight_although_the_examples_fill_the_screen(
    server: str, visit: Visit, tmp_path: Path
) -> None:
    large = tmp_path / "large.png"  # takes long enough for the words to be shown
    Image.open(settings.ASSETS / "examples" / "mel-1.jpg").resize((6000, 4500)).save(large, compress_level=1)
    page = visit(f"{server}/_stcore/health", width=390, height=844)
    page.add_init_script("""
        new MutationObserver(() => {
          const said = document.querySelector('[data-testid="stSpinner"]');
          if (said) window.waitedFor ??= {words: said.innerText, bottom: said.getBoundingClientRect().bottom};
        }).observe(document, {childList: true, subtree: true});
    """)
    page.goto(f"{server}/analyse")
    give(page, large)
    map_of(page, "large.png")
    waited = page.evaluate("window.waitedFor")
    assert re.match("The model is still loading|Analysing", waited["words"])
    assert 0 < waited["bottom"] <= 844


def test_a_damaged_model_is_explained_and_offers_no_analysis_until_it_is_restored(
    start_server: Callable[..., AbstractContextManager[str]], visit: Visit, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(settings.load().bundle, folder)
    weights = folder / "serving.npz"
    sound = weights.read_bytes()
    middle = len(sound) // 2
    weights.write_bytes(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])
    with start_server(SKIN_MODEL_BUNDLE=str(folder)) as server:
        page = visit(server)
        for address in ADDRESSES:
            page.goto(f"{server}/{address}")
            expect(page.get_by_text("serving.npz")).to_contain_text("was changed or damaged")
            expect(page.get_by_role("status").get_by_text("No model in use")).to_be_visible()
            expect(page.get_by_role("heading", level=1)).to_have_text(HEADINGS[address])
            for offer in (page.get_by_text("Analyse an image", exact=True).and_(page.get_by_role("link")),
                          page.locator('input[type="file"]'), page.get_by_text("Example 1")):  # fmt: skip
                expect(offer).to_have_count(0)
            expect_no_fault(page)
        weights.write_bytes(sound)
        page.goto(f"{server}/analyse")
        expect(page.get_by_role("status").get_by_text("● Model")).to_be_visible()
        expect(page.locator('input[type="file"]')).to_have_count(1)


def test_an_uploaded_image_gets_seven_names_probabilities_that_sum_to_1_and_a_decision_that_follows(
    server: str, visit: Visit, pictures: list[Path]
) -> None:
    page = visit(f"{server}/analyse")
    for path in (pictures[0], pictures[-1]):
        data = path.read_bytes()
        give(page, path)
        map_of(page, path.name)
        chart = page.locator(".st-key-probabilities")
        for diagnosis in DIAGNOSES:
            expect(chart).to_contain_text(diagnosis.name)
        details = details_of(page, data)
        table = tabled(details)
        assert list(table) == [diagnosis.name for diagnosis in DIAGNOSES]
        assert sum(table.values()) == pytest.approx(1, abs=7 * ROUNDED)
        assert table == expected(data)
        with page.expect_download() as download:
            details.get_by_role("button", name="Download JSON").click()
        record = json.loads(download.value.path().read_bytes())
        assert list(table.values()) == pytest.approx([record["probabilities"][code] for code in CODES], abs=ROUNDED)
        assert record["probabilities"] == pytest.approx(analysis.analyse(data=data).prediction.by_code(), abs=1e-5)
        malignant = sum(record["probabilities"][diagnosis.code] for diagnosis in DIAGNOSES if diagnosis.malignant)
        assert record["malignant_probability"] == pytest.approx(malignant, abs=1e-5)
        refer = record["malignant_probability"] >= record["threshold"]
        heading = page.locator(".st-key-result").get_by_role("heading", level=2).first
        expect(heading).to_have_text("▲ Refer" if refer else "Below the operating point")
        expect(page.locator(".st-key-refer, .st-key-below")).to_contain_text(
            "reaches the operating point" if refer else "does not reach the operating point"
        )
        expect_no_fault(page)


def test_another_class_shows_another_map_over_the_same_picture_and_leaves_the_probabilities(
    server: str, visit: Visit, pictures: list[Path]
) -> None:
    data = pictures[0].read_bytes()
    found = display_copy(analysis.analyse(data=data))
    page = visit(f"{server}/analyse")
    give(page, pictures[0])
    first = map_of(page, pictures[0].name, found.prediction.diagnosis.name)
    before = tabled(details_of(page, data))
    code = next(c for c in CODES if c != found.prediction.diagnosis.code and found.explanations[c].heat_map.any())
    shown = {found.prediction.diagnosis.code: pixels(first)}
    page.get_by_role("combobox", name="Map shown for").click()
    page.get_by_role("option", name=BY_CODE[code].name).click()
    shown[code] = pixels(map_of(page, pictures[0].name, BY_CODE[code].name))
    overlays = {target: analysis.overlay(analysis=found, target=target, opacity=STRENGTH) for target in shown}
    for target, other in (tuple(shown), tuple(shown)[::-1]):
        assert apart(shown[target], overlays[target]) < apart(shown[target], overlays[other]) / 2
        assert apart(shown[target], overlays[target]) < apart(shown[target], found.image.pixels) / 2
    assert tabled(details_of(page, data)) == before


def test_a_map_of_strength_0_is_the_picture_itself(server: str, visit: Visit, pictures: list[Path]) -> None:
    data = pictures[0].read_bytes()
    page = visit(f"{server}/analyse")
    give(page, pictures[0])
    picture = map_of(page, pictures[0].name)
    covered, source = pixels(picture), picture.get_attribute("src") or ""
    page.get_by_role("slider", name="Strength of the map").press("Home")
    expect(picture).not_to_have_attribute("src", source)
    alone = details_of(page, data).get_by_role("img", name=f"{pictures[0].name} without map")
    expect(alone).to_be_visible()
    answer = page.request.get(page.evaluate("source => new URL(source, location).href", alone.get_attribute("src")))
    without = np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB"))
    assert apart(pixels(picture), without) < 1.5
    assert most_apart(pixels(picture), without) < 15 < 30 < most_apart(covered, without)


def test_two_browsers_at_the_same_time_each_get_the_answer_to_their_own_image(
    server: str, visit: Visit, pictures: list[Path]
) -> None:
    pages = [visit(f"{server}/analyse") for _ in range(2)]
    half = len(pictures) // 2
    for pair in ((pictures[0], pictures[half]), (pictures[1], pictures[half + 1]), (pictures[2], pictures[0])):
        for page, path in zip(pages, pair, strict=True):
            give(page, path)
        for page, path in zip(pages, pair, strict=True):
            map_of(page, path.name)
            assert tabled(details_of(page, path.read_bytes())) == expected(path.read_bytes())


def lesion(height: int = 150, width: int = 200) -> Image.Image:
    return Image.fromarray(draw_lesion("nv", seed=1, height=height, width=width)[0])


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def header_of_60_million_pixels() -> bytes:
    """A PNG that announces 10,000 x 6,000 pixels and brings next to none of them."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = struct.pack(">IIBBBBB", 10_000, 6_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def dicom(kind: str) -> bytes:
    """A colour image of the given SOP class, uncompressed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    file = io.BytesIO()
    image = FileDataset(file, {}, file_meta=meta, preamble=bytes(128))
    image.SOPClassUID, image.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    image.Rows, image.Columns, image.SamplesPerPixel, image.PlanarConfiguration = 150, 200, 3, 0
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 8, 8, 7, 0
    image.PhotometricInterpretation, image.PixelData = "RGB", lesion().tobytes()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


UNREADABLE = ("This file is not a readable image", "Accepted are JPEG, PNG, TIFF, WebP, BMP and DICOM images")
BAD: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "a letter.jpg": (lambda: b"Dear colleague, please find the picture enclosed.\n" * 9, UNREADABLE),
    "truncated.jpg": (lambda: encoded(lesion(), "JPEG")[:3000], UNREADABLE),
    "empty.jpg": (lambda: b"", (*UNREADABLE, "it is empty")),
    "26 MB.tif": (lambda: b"II*\0" + bytes(26 * 2**20), ("larger than 25 MB and was not sent",)),
    "60 million pixels.png": (header_of_60_million_pixels, ("10000 x 6000", "limit of 50 million pixels")),
    "60 pixels.png": (lambda: encoded(lesion(60, 60), "PNG"), ("60 x 60 pixels is too small", "at least 100 pixels")),
    "tomography.dcm": (
        lambda: dicom(pydicom.uid.CTImageStorage), ("CT Image Storage", "Dermoscopic Photography Image Storage"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_gets_its_own_sentence_and_the_next_good_one_its_answer(
    tab: Page, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    make, sentences = BAD[name]
    bad, good = tmp_path / name, tmp_path / f"after {name}.jpg"
    bad.write_bytes(make())
    shutil.copyfile(pictures[0], good)
    give(tab, bad)
    refusal = tab.locator(".st-key-refused, .st-key-too-large").filter(visible=True)
    for sentence in sentences:
        expect(refusal).to_contain_text(sentence)
    expect(tab.get_by_text(name).filter(visible=True).first).to_be_visible()
    expect(tab.locator(".st-key-result").filter(visible=True)).to_have_count(0)
    expect_no_fault(tab)
    expect_settled(tab)  # until then the uploader of the empty page may still be there, on its way out
    give(tab, good)
    map_of(tab, good.name)
    expect(refusal).to_have_count(0)
    assert tabled(details_of(tab, good.read_bytes())) == expected(good.read_bytes())


def rotated() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return encoded(lesion(), "JPEG", exif=exif)


def sixteen_bits() -> bytes:
    return encoded(Image.fromarray(np.array(lesion().convert("L")).astype(np.uint16) * 257), "PNG")


def animated() -> bytes:
    return encoded(lesion(), "WEBP", save_all=True, append_images=[lesion().rotate(180)])


UNUSUAL: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "greyscale.jpg": (lambda: encoded(lesion().convert("L"), "JPEG"), ()),
    "cmyk.jpg": (lambda: encoded(lesion().convert("CMYK"), "JPEG"), ()),
    "alpha.png": (lambda: encoded(lesion().convert("RGBA"), "PNG"), ()),
    "palette.png": (lambda: encoded(lesion().quantize(64), "PNG"), ()),
    "16 bits.png": (sixteen_bits, ()),
    "rotated.jpg": (rotated, ("150 x 200 pixels",)),
    "animated.webp": (animated, ("Only the first frame of this animation",)),
    "dermoscopy.dcm": (lambda: dicom("1.2.840.10008.5.1.4.1.1.77.1.7"), ("200 x 150 pixels",)),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSUAL)
def test_an_unusual_but_sound_image_is_analysed_and_its_reader_told_what_matters(
    tab: Page, tmp_path: Path, name: str
) -> None:
    make, remarks = UNUSUAL[name]
    path = tmp_path / name
    path.write_bytes(make())
    give(tab, path)
    map_of(tab, name)
    details = details_of(tab, path.read_bytes())
    assert tabled(details) == expected(path.read_bytes())
    for remark in remarks:
        expect(tab.get_by_text(remark)).to_be_visible()
    expect_no_fault(tab)


def expect_no_sideways_scroll(page: Page) -> None:
    page.wait_for_function(  # a chart takes a moment to find its width
        """[document.documentElement, document.querySelector('[data-testid="stMain"]')]
        .every(box => box.scrollWidth <= box.clientWidth)"""
    )


def test_nothing_must_be_scrolled_sideways_on_a_telephone(server: str, visit: Visit, pictures: list[Path]) -> None:
    page = visit(server, width=390, height=844)
    page.get_by_text("Model card of").click()
    expect(page.get_by_role("table")).not_to_have_count(1)
    expect_no_sideways_scroll(page)
    page.goto(f"{server}/analyse")
    expect(page.get_by_role("button", name="Example 1")).to_be_visible()
    expect_no_sideways_scroll(page)
    give(page, pictures[0])
    map_of(page, pictures[0].name)
    expect(page.locator(".st-key-probabilities")).to_contain_text("Melanoma")
    details_of(page, pictures[0].read_bytes())
    expect_no_sideways_scroll(page)


def test_an_example_is_analysed_with_the_keyboard_alone(server: str, visit: Visit) -> None:
    page = visit(f"{server}/analyse")
    example = page.get_by_role("button", name="Example 1")
    expect(example).to_be_visible()
    for _ in range(40):
        page.keyboard.press("Tab")
        if example.evaluate("button => button === document.activeElement"):
            break
    expect(example).to_be_focused()
    page.keyboard.press("Enter")
    (first, *_) = analysis.examples()
    map_of(page, first.path.name)
    expect(page.get_by_text(re.compile("This synthetic example was drawn to resemble"))).to_be_visible()


def expect_in_first_view(page: Page, *parts: Locator) -> None:
    for part in parts:
        expect(part).to_be_in_viewport(ratio=1)


def expect_painted(page: Page) -> None:
    """Nothing on the page is still to come."""
    expect_settled(page)
    expect(page.locator('[data-testid="stSkeleton"]').filter(visible=True)).to_have_count(0)
    page.wait_for_function("[...document.images].every(image => image.complete)")
    page.wait_for_function("document.fonts.status === 'loaded'")


def read_home(page: Page, shoot: Shoot) -> None:
    """What it is for and not for; how good the model is, class by class."""
    figures = page.get_by_role("heading", name="The model in use, and how good it is")
    expect(figures).to_be_visible()
    for heading in ("What it is for", "What it is not for"):
        expect_in_first_view(page, page.get_by_role("heading", name=heading, exact=True))
    shoot("demo-1-home.png")
    figures.evaluate("heading => heading.scrollIntoView()")
    expect(page.get_by_role("table")).to_contain_text("Melanoma")
    shoot("demo-2-model.png")


def try_example(page: Page, example: Example, number: int, shoot: Shoot) -> Locator:
    """One click, and the first view holds all that is needed; gives the picture."""
    page.get_by_role("link", name="Analyse an image").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HEADINGS["analyse"])
    button = page.get_by_role("button", name=f"Example {number}")
    expect_in_first_view(page, button)
    shoot("demo-3-choose.png")
    button.click()
    picture = map_of(page, example.path.name)
    chart = page.locator(".st-key-probabilities")
    for diagnosis in DIAGNOSES:
        expect(chart).to_contain_text(diagnosis.name)
    decision = page.locator(".st-key-refer, .st-key-below")
    expect_in_first_view(page, page.locator(".st-key-disclaimer"), decision, picture, chart)
    shoot("analyse.png")
    return picture


def look_closer(page: Page, picture: Locator, found: Analysis, shoot: Shoot) -> None:
    """What speaks for the next likely class, the map stronger and the picture nearer."""
    ranked = sorted(CODES, key=lambda code: -found.prediction.by_code()[code])
    name = next(BY_CODE[code].name for code in ranked[1:] if found.explanations[code].heat_map.any())
    page.get_by_role("combobox", name="Map shown for").click()
    page.get_by_role("option", name=name).click()
    expect(picture).to_have_attribute("alt", re.compile(f"for {re.escape(name)}$"))
    weaker = picture.get_attribute("src") or ""
    page.get_by_role("slider", name="Strength of the map").press("PageUp")
    expect(picture).not_to_have_attribute("src", weaker)
    small = picture.bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    large = picture.bounding_box()
    assert small is not None
    assert large is not None
    assert large["width"] > 1.4 * small["width"]
    shoot("demo-5-map.png")


def unfold(page: Page, data: bytes, shoot: Shoot) -> dict[str, Any]:
    """Whose lesion it is, the exact numbers, and a file to keep; gives what the file holds."""
    page.get_by_text("Patient (optional)").click()
    page.get_by_label("Age in years").fill("54")
    page.get_by_label("Age in years").press("Enter")
    expect(page.get_by_text("54 years")).to_be_visible()
    details = details_of(page, data)
    assert tabled(details) == expected(data, Patient(age=54))
    with page.expect_download() as download:
        details.get_by_role("button", name="Download JSON").click()
    page.get_by_text("54 years").evaluate("line => line.scrollIntoView()")
    shoot("demo-6-details.png")
    return json.loads(download.value.path().read_bytes())


def test_the_first_five_minutes_of_a_dermatologist_lead_from_the_home_page_to_a_finished_analysis(
    server: str, visit: Visit, screenshots: Path, tmp_path: Path
) -> None:
    """docs/demo.md is the same script in words; `--screenshots docs` makes its pictures anew."""
    page = visit(server)

    def shoot(name: str) -> None:
        expect_painted(page)
        page.screenshot(path=screenshots / name, animations="disabled")

    number, example = next((n, e) for n, e in enumerate(analysis.examples(), 1) if e.diagnosis == "mel")
    data = example.path.read_bytes()
    read_home(page, shoot)
    picture = try_example(page, example, number, shoot)
    look_closer(page, picture, analysis.analyse(data=data), shoot)
    record = unfold(page, data, shoot)
    assert record["image"] == example.path.name
    assert record["patient"]["age"] == 54
    letter = tmp_path / "letter to a colleague.jpg"
    letter.write_bytes(BAD["a letter.jpg"][0]())
    give(page, letter)
    expect(page.locator(".st-key-refused")).to_contain_text(UNREADABLE[0])
    expect(page.locator(".st-key-result")).to_have_count(0)
    shoot("demo-7-refused.png")
