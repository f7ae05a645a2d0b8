"""Whether explanations are true: the measures on maps whose truth is known, and the check of a whole model."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from test_explain_methods import HEARD, PATCH, SIZE, planted

from skin_model import bundle, cli
from skin_model.conversion import load_keras
from skin_model.errors import BundleError, BusyError, ConfigurationError, DatasetError
from skin_model.evaluation import faithfulness, localisation, truthfulness
from skin_model.explain.methods import METHODS
from skin_model.explain.randomised import randomise
from skin_model.inference import Classifier
from skin_model.services import explaining, explanation_check, registry, workspace
from skin_model.taxonomy import CODES


def areas(*maps: np.ndarray) -> np.ndarray:
    """Insertion less deletion of maps of the planted picture, with the same order where they are even."""
    found = faithfulness.insertion_deletion(planted(), CODES.index(HEARD), maps, np.random.default_rng(0))
    return found[:, 0] - found[:, 1]


def truth() -> np.ndarray:
    heat = np.zeros((SIZE, SIZE), np.float32)
    heat[PATCH] = 1
    return heat


def test_a_true_map_beats_blob_random_and_its_own_opposite():
    true, blob, random, opposite = areas(
        truth(), faithfulness.centred_blob(), faithfulness.random_map(np.random.default_rng(1)), 1 - truth()
    )
    assert true > max(blob, random) + 0.1
    assert min(blob, random) > opposite


def test_an_even_map_gains_nothing_over_the_order_of_a_random_one():
    even, random = areas(np.ones((3, 3), np.float32), faithfulness.random_map(np.random.default_rng(0)))
    assert even == pytest.approx(random, abs=1e-3)


def test_areas_are_those_of_curves_by_hand():
    subject, target, steps = planted(), CODES.index(HEARD), faithfulness.STEPS
    ((insertion, deletion),) = faithfulness.insertion_deletion(subject, target, [truth()], np.random.default_rng(0))
    image = subject.image
    plain = np.broadcast_to(image.mean((0, 1)), image.shape)
    assert 0 <= deletion < insertion <= 1
    gone = subject.network(np.where(truth()[..., None] > 0, plain, image)[None].astype(np.float32))[0, target]
    whole = subject.network(image[None])[0, target]
    assert gone < 0.2 < whole, "the class goes with its patch"
    assert deletion == pytest.approx((whole / 2 + (steps - 0.5) * gone) / steps, abs=0.6 / steps)


def test_the_centred_blob_has_the_spread_it_claims():
    blob = faithfulness.centred_blob(200).astype(float)
    along = (np.arange(200) + 0.5) / 200 - 0.5
    assert np.sqrt((blob.sum(0) * along**2).sum() / blob.sum()) == pytest.approx(localisation.BLOB, rel=0.01)


def test_maps_are_alike_by_the_order_of_their_places():
    heat = np.random.default_rng(0).random((6, 6)).astype(np.float32)
    assert faithfulness.similarity(heat, heat**3) == pytest.approx(1)
    assert faithfulness.similarity(heat, 1 - heat) == pytest.approx(-1)
    assert faithfulness.similarity(heat, np.zeros_like(heat)) == 0


def test_randomising_keeps_the_weights_values_but_not_the_answers(trained, tiny):
    images = np.random.default_rng(0).random((4, tiny.size, tiny.size, 3)).astype(np.float32)
    for head_only in (True, False):
        model, before = load_keras(trained / "best.keras"), load_keras(trained / "best.keras")
        randomise(model, head_only=head_only)
        assert np.abs(model.predict_on_batch(images) - before.predict_on_batch(images)).max() > 1e-3
        for new, old in zip(model.get_weights(), before.get_weights(), strict=True):
            np.testing.assert_array_equal(np.sort(new, axis=None), np.sort(old, axis=None))
        changed = [
            layer.name
            for layer, old in zip(model.layers, before.layers, strict=True)
            if any((a != b).any() for a, b in zip(layer.get_weights(), old.get_weights(), strict=True))
        ]
        assert set(changed) >= {"hidden", "output"}
        assert (set(changed) == {"hidden", "output"}) is head_only


@pytest.fixture(scope="module")
def easily_told():
    """Pictures are taken however little a class hangs on them: the tiny network has hardly learned any."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faithfulness, "DEPENDS", -1)
        yield


def test_a_model_whose_classes_hang_on_no_picture_is_refused_in_a_sentence(made, drawn_data):
    with pytest.raises(
        DatasetError,
        match=r"None of \d+ pictures is new to the model and loses its likeliest class .* Give other pictures",
    ):
        explanation_check.check(classifier=Classifier(made), data=drawn_data, images=5, slow_images=0)


@pytest.fixture(scope="module")
def checked(made, drawn_data, easily_told):
    return explanation_check.check(classifier=Classifier(made), data=drawn_data, images=5, slow_images=0)


def test_a_model_is_checked_on_one_picture_of_each_unseen_lesion(checked, made, parts):
    fresh, _ = explanation_check.unseen(parts, made)
    assert set(fresh["part"]) == {"test"}
    assert fresh["lesion_id"].is_unique
    assert checked["images"] == 5
    assert checked["network"] == made.manifest.files["network.keras"]


def test_every_picture_of_an_unknown_lesion_counts_as_a_lesion_not_met(made, parts):
    nameless = parts.assign(lesion_id=None, image_id="new_" + parts["image_id"])
    assert len(explanation_check.unseen(nameless, made)[0]) == len(parts)


def test_a_check_that_was_killed_goes_on_after_the_last_picture_it_noted(checked, made, drawn_data, tmp_path):
    def measure(file, images=5, stop_at=99, seed=0):
        asked = []

        def progress(done: int, total: int) -> None:
            asked.append(done)
            if len(asked) == stop_at:
                raise KeyboardInterrupt

        order = {"classifier": Classifier(made), "data": drawn_data, "images": images, "slow_images": 0, "seed": seed}
        return explanation_check.check(**order, rows_file=file, on_progress=progress), asked

    file = tmp_path / "rows.jsonl"
    with pytest.raises(KeyboardInterrupt):
        measure(file, stop_at=4)
    noted = file.read_text()
    assert noted.count("\n") == 4, "settings and three pictures"
    file.write_text(noted + '{"gradcam": {"inser')
    found, asked = measure(file)
    assert found == checked
    assert asked == [3, 4, 5]
    assert file.read_text().startswith(noted)
    fewer, asked = measure(file, images=4)
    assert (fewer["images"], asked) == (4, [4]), "nothing is measured again"
    assert measure(file)[0] == checked, "and nothing lost"
    with pytest.raises(ConfigurationError, match="Name another file"):
        measure(file, seed=1)
    file.write_text('{"labels": [1, 2, 3]}')  # somebody's own, in one line without an end
    with pytest.raises(ConfigurationError, match="Name another file"):
        measure(file)
    assert file.read_text() == '{"labels": [1, 2, 3]}'
    file.write_text(noted[:20])
    assert measure(file)[0] == checked, "a check killed in its first line begins anew"
    file.write_bytes(b"\xff\xd8\n")
    with pytest.raises(ConfigurationError, match="Name another file"):
        measure(file)


def test_what_was_noted_holds_for_the_same_network_with_other_limits_and_for_no_other_network(
    checked, made, drawn_data, tmp_path
):
    def measure(manifest):
        asked = []
        order = {"data": drawn_data, "images": 5, "slow_images": 0, "rows_file": tmp_path / "rows.jsonl"}
        classifier = Classifier(replace(made, manifest=manifest))
        found = explanation_check.check(classifier=classifier, on_progress=lambda done, _: asked.append(done), **order)
        return found, asked

    assert measure(made.manifest)[0] == checked
    refitted = replace(made.manifest, model_version="refitted", temperature=3.0, threshold=0.9)
    assert measure(refitted) == (checked, [5]), "nothing is measured again"
    with pytest.raises(ConfigurationError, match="no figures of this model's network"):
        measure(replace(refitted, files=refitted.files | {"network.keras": "0" * 64}))


def test_pictures_noted_without_slow_methods_are_measured_again_where_these_are_asked_for(tmp_path):
    def noted(slow_images):
        with explanation_check._Rows(tmp_path / "rows.jsonl", {"seed": 0}, slow_images) as rows:
            return list(rows.known)

    fast = {"gradcam": {"insertion": 0.5}}
    whole = {key: {"insertion": 0.5} for key in METHODS}
    with explanation_check._Rows(tmp_path / "rows.jsonl", {"seed": 0}, 1) as rows:
        for row in (None, whole, None, fast, fast):
            rows.add(row)
    assert noted(1) == [None, whole, None, fast, fast]
    assert noted(2) == [None, whole, None]
    assert noted(1) == [None, whole, None], "what was dropped is no longer in the file"


def test_slow_methods_of_more_pictures_than_asked_for_are_left_out(made, drawn_data, tmp_path, monkeypatch):
    row = {key: dict.fromkeys(("insertion", "deletion", "noise", "head", "all"), 0.5) for key in METHODS}
    row |= {"blob": {"insertion": 0.4, "deletion": 0.5}, "random": {"insertion": 0.4, "deletion": 0.5}}
    monkeypatch.setattr(explanation_check, "measure", lambda *_: ([dict(row) for _ in range(5)], 5))
    found = explanation_check.check(
        classifier=Classifier(made), data=drawn_data, images=5, slow_images=2, seed=0, rows_file=tmp_path / "rows.jsonl"
    )
    images = {key: one["images"] for key, one in found["methods"].items()}
    assert {images[key] for key in explanation_check.SLOW} == {2}
    assert images["gradcam"] == 5


def test_two_checks_never_write_to_one_file(tmp_path):
    file = tmp_path / "rows.jsonl"
    with explanation_check._Rows(file, {"seed": 0}, 1) as rows:
        rows.add({"gradcam": {"insertion": 0.5}})
        with pytest.raises(BusyError, match=r"Another check is writing to .*rows\.jsonl"):
            explanation_check._Rows(file, {"seed": 0}, 1).__enter__()
        rows.add(None)
    assert len(file.read_text().splitlines()) == 3


def test_every_fast_method_gets_every_figure_with_its_interval_and_a_verdict(checked):
    fast = {key for key, method in METHODS.items() if not method.slow}
    assert set(checked["methods"]) == fast | {"blob", "random"}
    for key in fast:
        figures = checked["methods"][key]
        assert figures["images"] + figures["empty"] == 5
        assert isinstance(figures["passed"], bool)
        if not figures["images"]:
            assert not figures["passed"]
            continue
        assert set(figures) == {*truthfulness.FIGURES, "images", "empty", "passed"}, "drawn lesions come with masks"
        for name in truthfulness.FIGURES:
            low, high = figures[name]["interval"]
            assert low <= figures[name]["value"] <= high
    assert checked["methods"]["blob"]["over_blob"]["value"] == 0


@pytest.mark.usefixtures("easily_told")
def test_pictures_that_the_model_has_met_under_other_names_are_passed_over(made, drawn_data, parts, tmp_path):
    chosen = parts.groupby("part").head(8)
    for row in chosen.itertuples():
        shutil.copy(row.path, tmp_path / f"new_{row.image_id}.jpg")
    renamed = chosen.assign(image_id="new_" + chosen["image_id"], lesion_id="new_" + chosen["lesion_id"])
    renamed.drop(columns=["path", "mask", "part"]).to_csv(tmp_path / "HAM10000_metadata.csv", index=False)
    rows = tmp_path / "rows"
    classifier = Classifier(made)
    found = explanation_check.check(
        classifier=classifier, data=tmp_path, images=len(chosen), slow_images=0, rows_file=rows
    )
    new = chosen.loc[chosen["part"] == "test", "lesion_id"].nunique()
    assert found["looked_at"] == chosen["lesion_id"].nunique() > new == found["images"]


def test_a_model_that_has_met_every_lesion_is_not_checked_on_them(made, parts):
    with pytest.raises(DatasetError, match="has met every lesion"):
        explanation_check.unseen(parts[parts["part"] != "test"], made)


@pytest.fixture
def kept(checked):
    """The figures as of pictures enough for a verdict."""
    return checked | {"images": explanation_check.FEWEST}


def test_figures_kept_in_a_model_reach_page_and_report_and_can_be_replaced(kept, copied, monkeypatch):
    made = bundle.read(copied())
    monkeypatch.setenv("SKIN_MODEL_BUNDLE", str(made.folder))
    explanation_check.keep(kept, made)
    again = bundle.read(made.folder)
    assert json.loads(again.text(truthfulness.FILE)) == kept
    workspace.classifier()  # loaded
    offers = {offer.key: offer for offer in explaining.offers(summary=workspace.model_state().summary)}
    assert offers["gradcam"].failed is not kept["methods"]["gradcam"]["passed"]
    assert "pictures the model never saw" in offers["gradcam"].evidence
    assert "Not measured" in offers["lime"].evidence
    papers = registry.papers(registry.Version(2, "copied", registry.CHALLENGER, True, str(made.folder)))
    reported = registry.report(papers)
    assert "Not measured" not in reported
    assert all(cell in reported for row in truthfulness.section(kept).rows for cell in row)

    explanation_check.keep(kept | {"seed": 7}, again)
    assert json.loads(bundle.read(made.folder).text(truthfulness.FILE))["seed"] == 7


@pytest.mark.parametrize("broken_at", [1, 2])
def test_a_model_stays_whole_wherever_keeping_is_broken_off(kept, copied, monkeypatch, broken_at):
    made = bundle.read(copied())
    explanation_check.keep(kept, made)
    made = bundle.read(made.folder)
    writes, write = [], bundle._write

    def fail(*arguments):
        writes.append(arguments)
        if len(writes) == broken_at:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(bundle, "_write", fail)
    with pytest.raises(KeyboardInterrupt):
        explanation_check.keep(kept | {"seed": 7}, made)
    assert bundle.read(made.folder).text(truthfulness.FILE) in ("", made.text(truthfulness.FILE))


FIGURE = {"value": 0.2, "interval": [0.1, 0.3]}


def figures(over_blob: list[float], alike: list[float], last_layers: list[float]) -> dict:
    of = dict.fromkeys(truthfulness.FIGURES, FIGURE) | {"images": 200, "empty": 7}
    given = {"over_blob": over_blob, "all": alike, "head": last_layers}
    return of | {key: {"value": sum(ends) / 2, "interval": ends} for key, ends in given.items()}


@pytest.mark.parametrize(
    ("over_blob", "alike", "last_layers", "passed"),
    [
        ([0.05, 0.1], [0.0, 0.2], [0.0, 0.2], True),
        ([-0.01, 0.1], [0.0, 0.2], [0.0, 0.2], False),
        ([0.05, 0.1], [0.4, 0.6], [0.0, 0.2], False),
        ([0.05, 0.1], [0.0, 0.2], [0.8, 0.9], False),
    ],
)
def test_a_method_passes_only_if_it_beats_the_blob_and_forgets_with_the_network(over_blob, alike, last_layers, passed):
    found = figures(over_blob, alike, last_layers)
    assert truthfulness._passed(found) is passed
    said = truthfulness.sentence(found | {"passed": passed})
    assert ("It failed" in said) is not passed
    assert ("not proven better" in said) is (over_blob[0] <= 0)
    assert ("the same when the network's weights are shuffled" in said) is (alike[1] > 0.5)
    assert ("the same when those of its last layers are" in said) is (last_layers[1] > 0.5)
    for words in ("changes under slight noise (likeness 0.20)", "20 % of its heat inside the lesion, of the blob's 0 %",
                  "no map for 7 more"):  # fmt: skip
        assert words in said


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (["--images", "0"], "ask for one at least"),
        (["--images", "30", "--slow-images", "-1"], "no fewer slow ones"),
        (["--images", "19", "--keep"], "needs 20 pictures"),
        (["--images", "30", "--slow-images", "3", "--keep"], "needs 20 pictures"),
    ],
)
def test_too_few_pictures_are_refused_before_anything_is_measured(order, words, copied, drawn_data, capsys):
    assert cli.main(["explain-check", "--data", str(drawn_data), "--model", str(copied()), *order]) == 2
    assert words in capsys.readouterr().err


def test_figures_of_too_few_pictures_and_of_another_model_are_not_kept(checked, kept, copied):
    model = bundle.read(copied())
    with pytest.raises(ConfigurationError, match="here it has 5 and 0"):
        explanation_check.keep(checked, model)
    remade = replace(model.manifest, model_version="remade")
    bundle.write_manifest(model.folder, remade)
    with pytest.raises(BundleError, match="no longer holds"):
        explanation_check.keep(kept, model)
    again = bundle.read(model.folder)
    assert again.manifest.model_version == "remade"
    explanation_check.keep(kept, again)
    assert bundle.read(model.folder).text(truthfulness.FILE)


def test_the_file_of_figures_is_opened_before_anything_is_measured(copied, drawn_data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(explanation_check, "check", lambda **_: pytest.fail("measured in vain"))
    order = ["--data", str(drawn_data), "--model", str(copied()), "--json", str(tmp_path / "missing" / "x.json")]
    assert cli.main(["explain-check", *order]) == 2
    assert "missing" in capsys.readouterr().err


def test_the_command_prints_and_writes_the_figures(easily_told, made, drawn_data, tmp_path, capsys):
    file = tmp_path / "figures.json"
    order = ["--images", "2", "--slow-images", "0", "--json", str(file)]
    assert cli.main(["explain-check", "--data", str(drawn_data), "--model", str(made.folder), *order]) == 0
    assert "Grad-CAM: Measured on 2 pictures" in capsys.readouterr().out
    assert json.loads(file.read_text())["images"] == 2
    assert truthfulness.FILE not in bundle.read(made.folder).manifest.files
