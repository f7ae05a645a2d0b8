"""Work in parts, which several workers may take at once: folds, trials of a search, chunks of a folder of images.

A part gives back what came of it through the queues' database, so the workers need no folder in common.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from skin_model import settings, tracking
from skin_model.dataset import ham10000, splits
from skin_model.errors import DatasetError
from skin_model.jobs.running import Running, parts, step
from skin_model.recipe import TrainingConfig
from skin_model.services import attempts, crossval, durable, prediction, registry, study
from skin_model.services import search as searching
from skin_model.services.prediction import BATCH, Judged, no_formula
from skin_model.services.telling import Telling, sentences
from skin_model.taxonomy import CODES
from skin_model.training.run import OnEpoch
from skin_model.training.state import RunState

PLANS = ("crossval", "search", "score")  # those of these workflows that only start others and wait for them
ANSWERS = "answers"  # name of the step that keeps a chunk's answers, as CSV
COLUMNS = ("image", "sha256", "outcome", "reasons", "diagnosis", "malignant_probability", "refer",
           *(f"p_{code}" for code in CODES), "model_version", "error")  # fmt: skip  # of these answers


def crossvalidate(order: dict[str, Any]) -> dict[str, Any]:
    """Train once per fold and pool the answers for the lesions left out.

    Args:
        order: that of a training, and `folds`, the names.

    Returns:
        What `services.crossval.crossval` does.
    """
    me = Running.current()
    run = step("begin", durable.begin, me.job, order, "crossval", durable.data_set(order).drawn)
    found = parts("fold", [_part(order, k, name, run) | {"fold": name} for k, name in enumerate(order["folds"])])
    return step("pool", _pool, order, run, found)


def fold(order: dict[str, Any]) -> dict[str, Any]:
    """One fold of a cross-validation; returns its `answers` as CSV, `best_epoch` and `epochs`."""
    me, config = Running.current(), durable.settings_of(order)
    telling = Telling(me, config)
    home = settings.load().runs
    with sentences(str(home.parent)):
        data = durable.data_set(order)
        run = step("begin", durable.begin, me.job, order, "fold", data.drawn)
        folder = attempts.own(home / me.job, me.token)
        found: dict[str, Any] = crossval.fold(
            name=order["fold"],
            config=config,
            table=splits.place(ham10000.read(data.folder).table, splits.read_text(data.split)),
            folder=folder,
            views=order["views"],
            train=lambda of_fold: durable.trained(me, telling, of_fold, data, folder, run),
            on_answer=telling.answer,
        )
        found["answers"] = crossval.answers_file(folder, order["views"]).read_text(encoding="utf-8")
        attempts.clear_others(home / me.job, me.token)
    return found


def search(order: dict[str, Any]) -> dict[str, Any]:
    """Try settings and say which were the best.

    Args:
        order: that of a training, and `trials` (how many) and `searched` (names of settings).

    Returns:
        `trial` (number of the best), `config` (its settings) and `history` (one row per trial).
    """
    me, config = Running.current(), durable.settings_of(order)
    run = step("begin", durable.begin, me.job, order, "search", durable.data_set(order).drawn)
    with study.opened(_record(), me.job, config.epochs):
        pass  # the tables are there before several workers ask for them
    names = [f"trial {number}" for number in range(order["trials"])]
    parts("trial", [_part(order, k, name, run) | {"study": me.job} for k, name in enumerate(names)])
    return step("choose", _choose, me.job, config)


def trial(order: dict[str, Any]) -> None:
    """One trial of a search: settings proposed from what the others came to, and a training with them."""
    me, config = Running.current(), durable.settings_of(order)
    home = settings.load().runs
    with sentences(str(home.parent)), study.opened(_record(), order["study"], config.epochs) as known:
        proposed = study.trial_of_part(known, order["part"], tuple(order["searched"]), config.seed)
        if proposed is None:
            return
        chosen = study.settings(config, proposed.params)
        telling, data = Telling(me, chosen), durable.data_set(order)
        run = step("begin", durable.begin, me.job, order | {"config": asdict(chosen)}, "trial", data.drawn)
        folder = attempts.own(home / me.job, me.token)

        def train(stop: Callable[[], bool], on_epoch: OnEpoch) -> RunState:
            return durable.trained(me, telling, chosen, data, folder, run, stop=stop, and_then=on_epoch)

        searching.run_trial(proposed, folder, chosen.monitor, train)
        attempts.clear_others(home / me.job, me.token)


def score(order: dict[str, Any]) -> dict[str, Any]:
    """Judge all images of a folder.

    Args:
        order: folder, files (lists of names, one per chunk), and of the model version, source and manifest.

    Returns:
        A tally: `images`, how many of them `failed` to be read and were `refused` by the gate, `refer`, and how many
        there are of each of the `diagnoses`.
    """
    named = [{"part": k, "files": files, "name": f"{files[0]} ..."} for k, files in enumerate(order["files"])]
    tallies = parts("chunk", [order | of_chunk for of_chunk in named])
    whole: Counter[str] = sum((Counter(tally) for tally in tallies), Counter())
    diagnoses = {code: whole[code] for code in CODES}
    return {name: whole[name] for name in ("images", "failed", "refused", "refer")} | {"diagnoses": diagnoses}


def chunk(order: dict[str, Any]) -> dict[str, int]:
    """Judge some images of a folder; keeps the answers as a step, returns their tally."""
    me, folder = Running.current(), Path(order["folder"])
    me.check()
    if not folder.is_dir():
        raise DatasetError(f"The folder {folder} is not there. Bring it back or mount it, then resume.")
    found: list[Judged] = []
    with sentences(str(settings.load().home)):
        paths = [folder / name for name in order["files"]]
        classifier = _loaded(**{name: order[name] for name in ("version", "source", "manifest")})
        for judged in prediction.predict(classifier=classifier, paths=paths):
            if len(found) % BATCH == 0:
                me.check()
            found.append(judged)
            me.tell({"stage": "judging images", "done": len(found), "total": len(paths)})
    step(ANSWERS, lambda: _as_csv(folder, found))
    answered = [judged.prediction for judged in found if judged.prediction]
    tally = Counter(prediction.diagnosis.code for prediction in answered)
    refer = sum(prediction.refer for prediction in answered)
    failed = sum(bool(judged.error) for judged in found)
    refused = len(found) - len(answered) - failed
    return {"images": len(found), "failed": failed, "refused": refused, "refer": refer, **tally}


_loaded = lru_cache(maxsize=1)(registry.load)  # chunk after chunk is of one version
TRAININGS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "crossval": crossvalidate, "fold": fold, "search": search, "trial": trial
}  # fmt: skip


def _part(order: dict[str, Any], number: int, name: str, run: str) -> dict[str, Any]:
    return order | {"part": number, "name": f"{order['name']}, {name}", "run": run}


def _pool(order: dict[str, Any], run: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    trained = {
        name: {key: of_fold[key] for key in ("best_epoch", "epochs")}
        for name, of_fold in zip(order["folds"], found, strict=True)
    }
    texts = [io.StringIO(of_fold["answers"]) for of_fold in found]
    config = TrainingConfig(**order["config"])
    pooled = crossval.pooled(config, order["fingerprint"], order["views"], texts, trained)
    figures = {f"oof_{k}": v for k, v in pooled["pooled"].items() if isinstance(v, float)}
    tracking.log_figures(run, figures, 0)
    return json.loads(json.dumps(pooled))  # plain values, as in crossval.json


def _choose(name: str, config: TrainingConfig) -> dict[str, Any]:
    with study.opened(_record(), name, config.epochs) as known:
        found = searching.best(known, config)
    rows = found.history[found.history["state"] != "running"]  # left by a worker that was killed while it asked
    return {"trial": found.trial, "config": asdict(found.config), "history": json.loads(rows.to_json(orient="records"))}


def _record() -> str:
    """Where the studies are kept: with the project's record."""
    return settings.load().database


def _as_csv(folder: Path, found: list[Judged]) -> str:
    """One line per image, without a head."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    for judged in found:
        plain = judged.to_json()
        probabilities = {f"p_{code}": f"{p:.6f}" for code, p in plain.get("probabilities", {}).items()}
        reasons = " ".join(finding.sentence for finding in judged.quality.reasons)
        place = {"image": no_formula(str(judged.path.relative_to(folder))), "reasons": reasons}
        writer.writerow(plain | probabilities | place)
    return text.getvalue()
