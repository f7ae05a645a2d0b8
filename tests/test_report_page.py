"""The report page: whole, alone, safe, and with words before charts."""

import re
from html.parser import HTMLParser

import pytest
from plotly.offline import get_plotlyjs

from skin_model.evaluation import robustness, sections
from skin_model.services import report_page

SOURCE = {"name": "HAM10000", "images": "pictures", "labels": "labels.csv", "learned_from": "drawn lesions"}


class Reader(HTMLParser):
    """Tags that are open, addresses, and text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.open, self.addresses, self.text, self.tags = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not {"script", "style"} & set(self.open):
            self.text.append(text)


@pytest.fixture(scope="module")
def measured_answers(examined):
    return examined()


@pytest.fixture(scope="module")
def page(measured_answers):
    return report_page.html(*measured_answers, source=SOURCE)


def test_the_page_is_well_formed_and_loads_nothing_from_elsewhere(page):
    reader = Reader(page)
    assert reader.open == []
    assert reader.addresses == []
    assert page.count(get_plotlyjs()) == 1
    assert 'name="viewport"' in page


def test_words_stand_before_the_first_chart_and_every_section_is_there(page, measured_answers):
    evaluation, detailed = measured_answers
    shown = " ".join(Reader(page).text)
    sentences = sections.in_words(evaluation, detailed)
    first_chart = page.index("Plotly.newPlot", page.index("<body>"))
    for sentence in sentences:
        assert sentence in shown
        assert page.index(sentence) < first_chart
    for section in sections.sections(detailed):
        assert section.title in shown
        assert all(cell in shown for row in section.rows for cell in row)
    for text in ("Not a diagnosis", "Decision curve", "ROC curves", "Precision-recall curves", "HAM10000"):
        assert text in shown


def test_names_from_a_label_table_cannot_become_markup(measured_answers):
    evaluation, detailed = measured_answers
    wicked = "<script>alert(1)</script>"
    level = next(entry for entry in detailed["subgroups"] if entry["factor"] == "sex") | {"level": wicked}
    page = report_page.html(
        evaluation | {"model_version": wicked}, detailed | {"subgroups": [level]}, source=dict.fromkeys(SOURCE, wicked)
    )
    assert wicked not in page
    assert "&lt;script&gt;alert(1)" in page


def test_figures_on_images_that_the_model_saw_are_marked(measured_answers):
    evaluation, detailed = measured_answers
    flattered = report_page.html(evaluation | {"allow_seen": True}, detailed, source=SOURCE)
    assert "flatter" in " ".join(Reader(flattered).text)
    assert "flatter" not in " ".join(Reader(report_page.html(evaluation, detailed, source=SOURCE)).text)


def test_a_binary_model_without_sets_or_subgroups_gets_a_page(examined):
    evaluation, detailed = examined(task="binary", with_sets=False, with_masks=False)
    page = report_page.html(evaluation, detailed | {"subgroups": []}, source=SOURCE)
    shown = " ".join(Reader(page).text)
    assert sections.NO_SETS in shown
    assert "Confusion matrix" not in shown
    assert "Subgroups" not in shown
    assert not re.search(r"\b(nan|None)\b", shown)
    assert page.count("Plotly.newPlot(") == 4 + get_plotlyjs().count("Plotly.newPlot(")


def test_corruptions_stand_in_words_table_and_a_chart_for_each_figure(measured_answers):
    evaluation, detailed = measured_answers
    figure = {"value": 0.61, "interval": [0.5, 0.7]}
    changed = figure | {"change": {"value": -0.1, "interval": [-0.2, 0.0]}}
    conditions = [
        {"kind": kind, "severity": severity} | dict.fromkeys(robustness.FIGURES, changed)
        for kind in ("hair", "ink") for severity in (1, 2, 3)
    ]  # fmt: skip
    found = {"clean": dict.fromkeys(robustness.FIGURES, figure), "conditions": conditions}
    page = report_page.html(evaluation, detailed | {"corruptions": found}, source=SOURCE)
    plain = report_page.html(evaluation, detailed, source=SOURCE)
    shown = " ".join(Reader(page).text)
    for name in robustness.FIGURES.values():
        assert f"Change of {name} under corruptions" in shown
    assert all(sentence in shown for sentence in robustness.in_words(found))
    assert page.count("Plotly.newPlot(") == plain.count("Plotly.newPlot(") + len(robustness.FIGURES)
    assert robustness.TITLE not in " ".join(Reader(plain).text)


def test_the_page_says_which_pictures_were_scored_and_what_the_model_learned_from(page):
    shown = " ".join(Reader(page).text)
    assert "Scored: HAM10000, images in pictures, labels in labels.csv. The model learned from: drawn lesions." in shown


def test_what_the_makers_say_of_their_model_stands_in_its_report(measured_answers, page):
    noted = report_page.html(*measured_answers, source=SOURCE | {"note": "Chosen from <three>."})
    assert "Its makers say: Chosen from &lt;three&gt;." in noted
    assert "Its makers say" not in page
