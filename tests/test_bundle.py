"""One model on disk: made whole or not at all, and refused once anything in it was changed."""

import gzip
import io
import json
import shlex
import shutil
import tempfile
from dataclasses import asdict, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skin_model import bundle, cli, conversion, imaging, networks
from skin_model.bundle import Manifest
from skin_model.dataset import splits
from skin_model.dataset.labels import class_indices
from skin_model.errors import BundleError, DatasetError, TrainingError
from skin_model.evaluation import conformal, metrics, sections
from skin_model.evaluation.calibration import softmax
from skin_model.services import calibrating, evaluation, models, prediction, reproduction, workspace
from skin_model.taxonomy import CODES
from skin_model.training import run
from skin_model.training.state import write_state

FILES = ("card.md", "details.json", "evaluation.json", "head.npz", "history.csv", "network.keras", "references.npz",
         "seen.csv.gz", "serving.bin", "serving.xml")  # fmt: skip


def rewrite(folder: Path, **changes) -> None:
    """Change entries of the manifest; an entry given as None is taken out."""
    path = folder / "manifest.json"
    raw = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))


def test_a_bundle_holds_every_file_it_promises_and_no_other(made):
    assert tuple(sorted(made.manifest.files)) == FILES
    assert sorted(p.name for p in made.folder.iterdir()) == sorted([*FILES, "manifest.json"])


def test_converting_reports_to_nobody(made):
    """The converter's own telemetry forks a process under way and asks its makers' server."""
    from openvino.tools.ovc import convert_impl, main, telemetry_utils

    used = {module.tm.__name__ for module in (convert_impl, main, telemetry_utils)}
    assert used == {"openvino.tools.ovc.telemetry_stub"}


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_in_any_file_is_noticed_and_named(copied, name):
    folder = copied()
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)

    with pytest.raises(BundleError, match=rf"^{name} .*changed or damaged.*Restore"):
        bundle.read(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_noticed_and_named(copied, name):
    folder = copied()
    (folder / name).unlink()
    with pytest.raises(BundleError, match=rf"lacks {name}.*Restore"):
        bundle.read(folder)


def test_a_folder_without_a_manifest_is_no_model(copied):
    folder = copied()
    (folder / "manifest.json").unlink()
    for place in (folder, folder / "nowhere"):
        with pytest.raises(BundleError, match=r"no model in .*SKIN_MODEL_BUNDLE"):
            bundle.read(place)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[1]", b"null"])
def test_a_manifest_that_is_no_manifest_is_refused(copied, content):
    folder = copied()
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"cannot be read|not of format 2"):
        bundle.read(folder)


LATER = {
    "metadata",
    "balanced_threshold",
    "prediction_sets",
    "half",
    "out_of_fold",
    "note",
}  # models made before these still load


@pytest.mark.parametrize("name", [f.name for f in fields(Manifest) if f.name not in {"format"} | LATER])
def test_an_incomplete_manifest_is_refused(copied, name):
    folder = copied()
    rewrite(folder, **{name: None})
    with pytest.raises(BundleError, match=rf"incomplete .*{name}"):
        bundle.read(folder)


def test_a_model_made_before_prediction_sets_and_the_balanced_point_still_loads(copied):
    folder = copied()
    rewrite(folder, **dict.fromkeys(LATER))
    manifest = bundle.read(folder).manifest
    assert (manifest.balanced_threshold, manifest.prediction_sets) == (None, {})


def test_prediction_sets_without_the_threshold_of_a_class_are_refused(copied):
    folder = copied()
    rewrite(folder, prediction_sets={"coverage": 0.9, "thresholds": {"mel": 0.1}, "lesions": {"mel": 20}})
    with pytest.raises(BundleError, match="lacks the threshold of a class"):
        bundle.read(folder)


def test_a_bundle_of_another_format_is_refused(copied):
    folder = copied()
    rewrite(folder, format=3)
    with pytest.raises(BundleError, match="not of format 2"):
        bundle.read(folder)


def test_a_model_of_a_newer_version_of_this_program_is_said_to_be_one(copied):
    folder = copied()
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ensemble": 3}))
    with pytest.raises(BundleError, match=r"newer version of this program: ensemble .* Update the program"):
        bundle.read(folder)


def test_another_order_of_classes_is_refused_for_it_would_name_the_wrong_diagnosis(copied):
    folder = copied()
    rewrite(folder, labels=[CODES[1], CODES[0], *CODES[2:]])
    with pytest.raises(BundleError, match=r"orders its classes bcc, akiec, bkl.*expects akiec, bcc, bkl"):
        bundle.read(folder)


def test_a_file_that_the_manifest_does_not_list_is_never_handed_out(copied):
    folder = copied()
    (folder / "extra.keras").write_text("anything")
    made = bundle.read(folder)
    assert made.text("extra.keras") == ""
    with pytest.raises(BundleError, match=r"has no extra\.keras"):
        made.path("extra.keras")


def test_the_manifest_says_how_the_model_was_trained_and_on_what(made, tiny, trained, split_file, parts):
    manifest = made.manifest
    state = run.read_state(trained)

    assert manifest.training == asdict(tiny) | {
        "best_epoch": state.best_epoch, "epochs_run": tiny.epochs, "epochs_before": 0
    }  # fmt: skip
    assert (manifest.network, manifest.task, manifest.size) == (tiny.network, tiny.task, tiny.size)
    assert (manifest.labels, manifest.views, manifest.stages) == (CODES, 2, [])
    assert manifest.data["split"] == splits.fingerprint(splits.read(split_file))
    assert {part: counts["images"] for part, counts in manifest.data["parts"].items()} == dict(
        parts["part"].value_counts()
    )
    assert manifest.agreement["images"] > 10
    assert 0 <= manifest.agreement["largest_difference"] <= 1e-4
    assert manifest.model_version == models.version_of(bundle.read(made.folder).manifest)


def test_models_of_one_network_that_answer_otherwise_have_names_of_their_own(made):
    manifest = made.manifest
    sets = manifest.prediction_sets | {"thresholds": manifest.prediction_sets["thresholds"] | {"mel": 0.5}}
    changes = [
        {}, {"views": 1}, {"temperature": 1.25}, {"threshold": 0.125}, {"balanced_threshold": 0.25},
        {"target_sensitivity": 0.9}, {"prediction_sets": sets}, {"metadata": ("age",)},
        {"files": manifest.files | {"network.keras": "0" * 64}},
    ]  # fmt: skip
    assert len({models.version_of(replace(manifest, **changed)) for changed in changes}) == len(changes)
    same = replace(manifest, files=manifest.files | {"card.md": "another"}, environment={})
    assert models.version_of(same) == manifest.model_version == models.version_of(manifest)


def test_the_bundled_network_answers_as_trained_but_shows_no_activation_that_all_classes_share(made, trained, tiny):
    kept, learned = (conversion.load_keras(path) for path in (made.path("network.keras"), trained / "best.keras"))
    images = np.random.default_rng(0).random((4, tiny.size, tiny.size, 3), dtype=np.float32)
    np.testing.assert_allclose(kept.predict(images, verbose=0), learned.predict(images, verbose=0), atol=1e-5)
    kernel, bias = networks.last_layer(kept).get_weights()
    np.testing.assert_allclose(kernel.sum(axis=1), 0, atol=1e-5)
    assert abs(bias.sum()) < 1e-5
    assert np.abs(networks.last_layer(learned).get_weights()[0].sum(axis=1)).max() > 1e-3


def test_the_operating_point_attains_its_sensitivity_on_the_calibration_part(made, classifier, parts):
    calibration = parts[parts.part == "calibration"]
    malignant = calibration[calibration["dx"].isin(["mel", "bcc", "akiec"])]
    judged = prediction.predict(classifier=classifier, paths=malignant["path"])
    probability = np.sort([one.prediction.malignant_probability for one in judged])
    threshold = made.manifest.threshold

    assert made.manifest.target_sensitivity == 0.95
    assert np.isclose(probability, threshold, atol=1e-6).any()
    assert (probability >= threshold - 1e-6).mean() >= 0.95
    assert (probability > threshold + 1e-6).mean() < 0.95  # a higher one would miss too many


def test_prediction_sets_and_the_balanced_point_are_fitted_on_the_calibration_part(made, classifier, parts):
    calibration = parts[parts.part == "calibration"]
    _, logits = evaluation.answer_rows(classifier, calibration)
    p = metrics.malignant_probability(classifier.probabilities(logits))
    malignant = calibration["dx"].isin(["mel", "bcc", "akiec"]).to_numpy()
    sets = made.manifest.prediction_sets
    lesions = calibration.groupby("dx")["lesion_id"].nunique()

    assert sets["lesions"] == {code: lesions.get(code, 0) for code in CODES}
    assert sets["coverage"] == 0.9
    assert conformal.always_in(sets) == list(CODES)  # two or three drawn lesions of each class are too few
    youden = [np.mean(p[malignant] >= t - 1e-6) - np.mean(p[~malignant] >= t - 1e-6) for t in p]
    at_point = p >= made.manifest.balanced_threshold - 1e-6
    assert np.mean(at_point[malignant]) - np.mean(at_point[~malignant]) == pytest.approx(max(youden))


def test_with_enough_lesions_the_sets_hold_nine_of_ten_images_of_each_class(made, classifier, parts):
    manifest = calibrating.calibrated(made.manifest, classifier, parts)  # ten lesions of each class
    _, logits = evaluation.answer_rows(classifier, parts)
    probabilities = softmax(logits, manifest.temperature)
    members = conformal.members(probabilities + 1e-6, manifest.prediction_sets)
    labels = class_indices(parts["dx"])

    assert conformal.always_in(manifest.prediction_sets) == []
    assert members[np.arange(len(labels)), labels].mean() >= 0.85
    assert not members.all()


def test_the_details_in_the_bundle_are_of_the_test_part_and_stand_in_its_card(made, parts):
    details = json.loads(made.text("details.json"))
    assert details["images"] == (parts.part == "test").sum()
    assert set(details["operating_points"]) == {"sensitive", "balanced"}
    assert details["operating_points"]["balanced"]["threshold"] == made.manifest.balanced_threshold
    assert details["prediction_sets"]["promised"] == 0.9
    for section in sections.sections(details):
        for row in section.rows:
            assert " | ".join(row) in made.text("card.md")


def test_the_temperature_fits_the_calibration_part_better_than_its_neighbours(made, classifier, parts):
    calibration = parts[parts.part == "calibration"]
    _, logits = evaluation.answer_rows(classifier, calibration)
    labels = class_indices(calibration["dx"])

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        return -scaled[np.arange(len(labels)), labels].mean()

    best = made.manifest.temperature
    if 0.2 * 1.01 < best < 10 / 1.01:
        assert loss(best) < min(loss(best * 0.97), loss(best * 1.03))
    assert loss(best) <= loss(1.0) + 1e-9


def test_the_list_of_seen_images_is_complete_and_holds_no_test_image(made, parts):
    seen = evaluation.read_seen(made).set_index("image_id")
    met = parts[parts.part != "test"].set_index("image_id")

    assert set(seen.index) == set(met.index)
    assert (seen["lesion_id"] == met["lesion_id"].reindex(seen.index)).all()
    assert (seen["part"] == met["part"].reindex(seen.index)).all()
    for image_id, path in list(met["path"].items())[::10]:
        assert imaging.pixel_hash(imaging.read(path).pixels).startswith(seen.loc[image_id, "pixels"])
    assert seen["pixels"].str.len().min() >= 16


def test_the_evaluation_in_the_bundle_is_of_the_test_part(made, parts):
    report = json.loads(made.text("evaluation.json"))
    assert report["n"] == (parts.part == "test").sum()
    assert report["model_version"] == made.manifest.model_version
    assert report["intervals"]["unit"] == "lesion"


def texts_of(folder: Path) -> dict[str, str]:
    """Every file of a bundle that is text, unpacked."""
    found = {p.name: p.read_text() for p in folder.iterdir() if p.suffix in (".md", ".json", ".csv", ".xml")}
    return found | {"seen.csv.gz": gzip.decompress((folder / "seen.csv.gz").read_bytes()).decode()}


@pytest.fixture
def as_converted(made, monkeypatch):
    """Takes the conversion from the finished bundle, which spares seconds where the network is the same."""

    def copy(model, folder, *, half):
        for name in ("serving.xml", "serving.bin", "head.npz"):
            shutil.copyfile(made.folder / name, folder / name)

    monkeypatch.setattr(conversion, "convert", copy)


@pytest.mark.usefixtures("as_converted")
def test_no_text_of_a_bundle_tells_where_things_lay_on_the_machine_that_made_it(
    made, trained, drawn_data, tiny, tmp_path
):
    """Also not where the weights of an earlier training lay, which are told as a stage instead."""
    second = tmp_path / "second"
    shutil.copytree(trained, second)
    state = replace(run.read_state(trained), config=replace(tiny, weights=str(trained / "best.keras")))
    (second / "run.json").write_text(json.dumps(asdict(state)))
    staged = models.make_bundle(data=drawn_data, run=second, out=tmp_path / "out" / "model")

    assert [stage["epochs_run"] for stage in staged.manifest.stages] == [tiny.epochs]
    assert staged.manifest.training["weights"] == "best.keras"
    assert "--weights runs/1/best.keras" in staged.text("card.md")
    for folder in (made.folder, staged.folder):
        for name, text in texts_of(folder).items():
            for place in (tempfile.gettempdir(), str(Path.home()), str(tmp_path), str(drawn_data)):
                assert place not in text, name


@pytest.mark.usefixtures("as_converted")
def test_a_model_trained_on_all_folds_says_so_with_the_command_that_makes_it_again(trained, drawn_data, tmp_path):
    final = tmp_path / "final"
    shutil.copytree(trained, final)
    known = run.read_state(trained)
    no_figures = dict.fromkeys(["val_loss", "val_accuracy", "val_balanced_accuracy", "val_macro_auc"])
    history = tuple(replace(record, **no_figures) for record in known.history)
    write_state(replace(known, config=replace(known.config, validation="none"), history=history), final)

    last = models.make_bundle(data=drawn_data, run=final, out=tmp_path / "out" / "model")

    card = last.text("card.md")
    assert last.manifest.data["validation"] == "none"
    assert "| Part that chose the best epoch of the last training | none: the last epoch was kept |" in card
    assert "The last training learned from all folds" in card
    assert "--validation none" in card
    assert pd.read_csv(io.StringIO(last.text("history.csv")))["val_loss"].isna().all()
    assert set(evaluation.read_seen(last)["part"]) == {"calibration", "fold0", "fold1"}


@pytest.mark.usefixtures("as_converted")
def test_a_candidate_is_made_with_a_note_and_without_a_look_at_the_test_part(
    trained, drawn_data, tmp_path, monkeypatch, capsys
):
    def looked(**_):
        raise AssertionError("the test part was scored")

    monkeypatch.setattr(evaluation, "answer", looked)
    places = [f"--data={drawn_data}", f"--run={trained}", f"--out={tmp_path / 'candidate'}"]
    assert cli.main(["bundle", *places, "--no-test", "--note", " Chosen among 'five' on fold0. "]) == 0

    candidate = bundle.read(tmp_path / "candidate")
    assert candidate.manifest.note == "Chosen among 'five' on fold0."
    assert sorted({*FILES} - {*candidate.manifest.files}) == ["details.json", "evaluation.json"]
    (command,) = [line for line in reproduction.commands(candidate.manifest) if " bundle " in line]
    assert cli._parser().parse_args(shlex.split(command)[3:]).note == candidate.manifest.note
    summary = workspace._summary(candidate)
    assert summary.evaluation == summary.details == {}
    assert summary.card.startswith(f"# Model card: {candidate.manifest.model_version}")


def test_a_bundle_never_takes_the_place_of_another(made, trained, drawn_data):
    before = {p: p.stat().st_mtime_ns for p in made.folder.iterdir()}
    with pytest.raises(BundleError, match="already exists; name a new folder"):
        models.make_bundle(data=drawn_data, run=trained, out=made.folder)
    assert {p: p.stat().st_mtime_ns for p in made.folder.iterdir()} == before


@pytest.mark.usefixtures("as_converted")
def test_a_bundle_that_fails_half_way_leaves_nothing_behind(trained, drawn_data, tmp_path, monkeypatch):
    def fail(**_):
        raise DatasetError("the disk of the test part is gone")

    monkeypatch.setattr(evaluation, "answer", fail)
    with pytest.raises(DatasetError, match="is gone"):
        models.make_bundle(data=drawn_data, run=trained, out=tmp_path / "models" / "new")
    assert list((tmp_path / "models").iterdir()) == []


def test_no_bundle_is_made_where_the_serving_form_answers_otherwise_than_keras(
    trained, drawn_data, tmp_path, monkeypatch
):
    convert = conversion.convert

    def convert_another(model, folder, *, half):
        output = model.get_layer("output")
        kernel, bias = output.get_weights()
        output.set_weights([kernel, bias + np.linspace(0, 0.01, 7, dtype=np.float32)])
        convert(model, folder, half=half)
        output.set_weights([kernel, bias])

    monkeypatch.setattr(conversion, "convert", convert_another)
    with pytest.raises(BundleError, match=r"serving form differs .* in a probability"):
        models.make_bundle(data=drawn_data, run=trained, out=tmp_path / "models" / "new")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_split_that_was_changed_after_the_training_makes_no_bundle(trained, drawn_data, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(trained, changed)
    pd.read_csv(changed / "split.csv").iloc[5:].to_csv(changed / "split.csv", index=False)
    with pytest.raises(TrainingError, match=r"split\.csv .* was changed after the training"):
        models.make_bundle(data=drawn_data, run=changed, out=tmp_path / "models" / "new")


def test_pixels_in_two_parts_make_no_bundle_even_if_the_training_accepted_them(trained, drawn_data, parts, tmp_path):
    leaky = tmp_path / "leaky"
    shutil.copytree(drawn_data, leaky)
    learned, tested = (parts[parts.part == part].iloc[0] for part in ("fold1", "test"))
    copy = leaky / tested["path"].relative_to(drawn_data)
    shutil.copyfile(learned["path"], copy)
    with pytest.raises(DatasetError, match=rf"pixels of an image in another part .*{tested['image_id']} in test"):
        models.make_bundle(data=leaky, run=trained, out=tmp_path / "models" / "new")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("part", ["calibration", "test"])
def test_a_split_without_a_part_to_calibrate_or_to_measure_on_makes_no_bundle(part, trained, drawn_data, tmp_path):
    lacking = tmp_path / "lacking"
    shutil.copytree(trained, lacking)
    split = splits.read(trained / "split.csv")
    split["part"] = split["part"].replace(part, "fold1")
    splits.write(split, lacking / "split.csv")
    write_state(replace(run.read_state(trained), split=splits.fingerprint(split)), lacking)
    with pytest.raises(DatasetError, match=f"has no {part} part"):
        models.make_bundle(data=drawn_data, run=lacking, out=tmp_path / "models" / "new")


def test_half_a_network_makes_no_bundle(trained, drawn_data, tmp_path):
    half = tmp_path / "half"
    shutil.copytree(trained, half)
    content = (trained / "best.keras").read_bytes()
    (half / "best.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match=r"best\.keras is missing, damaged or incomplete"):
        models.make_bundle(data=drawn_data, run=half, out=tmp_path / "models" / "new")
    assert not (tmp_path / "models").exists()


def test_images_that_the_training_did_not_know_make_no_bundle(trained, drawn_data, tmp_path):
    grown = tmp_path / "grown"
    shutil.copytree(drawn_data, grown)
    first = next(grown.rglob("*.jpg"))
    shutil.copyfile(first, first.with_name("DRAWN_9999999.jpg"))
    table = pd.read_csv(grown / "HAM10000_metadata.csv")
    new = table[table["image_id"] == first.stem].assign(image_id="DRAWN_9999999")
    pd.concat([table, new]).to_csv(grown / "HAM10000_metadata.csv", index=False)
    with pytest.raises(DatasetError, match=r"are not in the split \(DRAWN_9999999\)"):
        models.make_bundle(data=grown, run=trained, out=tmp_path / "models" / "new")
