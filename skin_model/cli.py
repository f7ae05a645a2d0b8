"""The command line: the same use-cases without a browser."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from skin_model.commands import (
    OK,
    REFUSED,
    SOME_FAILED,
    STOPPED,
    dataset,
    explaining,
    json_file,
    segmentation,
    training,
    worker,
)
from skin_model.entities import SEXES, SITES, Patient
from skin_model.errors import ImageError, SkinModelError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 where an image or a check failed, 2 where nothing could be done."""
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):  # a file's name may hold bytes that the terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = int(options.run(options))
        sys.stdout.flush()  # at the interpreter's end there is nobody left to say that the disk is full
        return status
    except SkinModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        _drop_what_cannot_be_written()
        return OK
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}. Name another place, or make room.", file=sys.stderr)
        _drop_what_cannot_be_written()
        return REFUSED
    except KeyboardInterrupt:
        hint = "; --resume goes on with what was begun" if hasattr(options, "resume") else ""
        print(f"stopped{hint}", file=sys.stderr)
        return STOPPED


def _drop_what_cannot_be_written() -> None:
    """Else the interpreter tries again at its end, complains, and returns a status of its own."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m skin_model", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    dataset.add(commands.add_parser("dataset", help="validate, draw or split a data set, or list its look-alikes"))
    training.add_train(commands.add_parser("train", help="train one network"))
    training.add_crossval(commands.add_parser("crossval", help="train and measure fold by fold"))
    training.add_join(commands.add_parser("join", help="make one network of several finished trainings"))
    training.add_search(commands.add_parser("search", help="look for better settings of a training"))
    _add_bundle(commands.add_parser("bundle", help="make a model of a finished training"))
    _add_evaluate(commands.add_parser("evaluate", help="measure a model on labelled images that it has never met"))
    _add_predict(commands.add_parser("predict", help="judge images and folders of images"))
    explaining.add_explain_check(commands.add_parser("explain-check", help="measure whether explanations are true"))
    segmentation.add(commands.add_parser("segmentation", help="train and measure what outlines lesions"))
    worker.add(commands.add_parser("worker", help="carry out the jobs that were started from the browser"))
    return parser


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set of the training")
    parser.add_argument("--run", dest="folder", type=Path, required=True, metavar="DIR", help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the model")
    parser.add_argument(
        "--views", type=int, default=1, choices=(1, 2, 4, 8), help="views averaged per image (default 1)"
    )
    parser.add_argument(
        "--sensitivity",
        type=float,
        default=0.95,
        help="share of malignant images not learned from that the operating point must find (default 0.95)",
    )
    parser.add_argument(
        "--crossval",
        type=Path,
        metavar="DIR",
        help="calibrate also by this cross-validation's answers, each of a network that did not learn from the image",
    )
    parser.add_argument(
        "--half",
        action="store_true",
        help="round the weights to float16 before anything is measured, which makes the model a quarter as large",
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="for the model's card: how the model was made")
    parser.add_argument(
        "--no-test",
        dest="test",
        action="store_false",
        help="leave the test part unseen, to compare candidates; the model then has no figures",
    )
    parser.set_defaults(run=_bundle)


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder searched for the images")
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV", help="HAM10000 metadata or ISIC one-hot")
    _add_model(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the report there")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="also write report.html (one page) and report.json there"
    )
    parser.add_argument(
        "--corruptions",
        action="store_true",
        help="measure for the report also blur, noise, light, hair, ink and others; takes thirty times as long",
    )
    parser.add_argument("--allow-seen", action="store_true", help="score images the model has met, and say so")
    parser.set_defaults(run=_evaluate)


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="image files and folders")
    _add_model(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the answers there, one object per image")
    parser.add_argument("--age", type=int, metavar="YEARS", help="of the patient, for models that take it")
    parser.add_argument("--sex", choices=SEXES, help="of the patient, for models that take it")
    parser.add_argument("--site", choices=SITES, help="of the lesion, for models that take it")
    parser.add_argument("--judge-all", action="store_true", help="judge also what is no fit picture, and say so")
    explaining.add_explain(parser)
    parser.set_defaults(run=_predict)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, metavar="BUNDLE", help="model folder (default: the model in use)")


def _bundle(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import models

    with steps("comparing") as advance:
        made = models.make_bundle(
            data=options.data,
            run=options.folder,
            out=options.out,
            views=options.views,
            sensitivity=options.sensitivity,
            half=options.half,
            crossval=options.crossval,
            note=options.note,
            test=options.test,
            on_stage=lambda stage: print(f"{stage} ...", file=sys.stderr),
            on_check=advance,
        )
    print(f"{made.manifest.model_version}: {options.out}")
    return OK


def _evaluate(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import evaluation, workspace

    with json_file(options.json) as write:
        classifier = workspace.load(options.model)
        with steps("evaluating") as advance:
            found = evaluation.evaluate(
                classifier=classifier,
                images=options.images,
                labels=options.labels,
                allow_seen=options.allow_seen,
                on_progress=advance,
                report_folder=options.report,
                corruptions=options.corruptions,
            )
        write(found)
    print(f"{found['model_version']}: {found['n']} images, {found['n_excluded_seen']} left out as seen in training")
    if options.allow_seen:
        print("Images that the model may have met were scored too: these figures may flatter it.")
    for figure, value, interval in evaluation.rows(found):
        print(f"{figure:45s} {value:>8s}  {interval}")
    if options.report:
        print(f"the whole report: {options.report / 'report.html'}")
    return OK


def _predict(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import prediction, workspace

    paths = list(prediction.listed(options.paths))
    if not paths:
        raise ImageError("No image was found. Name image files, or folders that hold some.")
    patient = Patient(options.age, options.sex, options.site)
    failed = 0
    objects = []  # kept for the file alone: answers of a million pictures are a gigabyte
    explainer = explaining.explainer(options)
    with json_file(options.json) as write:
        classifier = workspace.load(options.model)
        explain = explainer(classifier) if explainer else None
        with steps("judging") as advance:
            judgements = prediction.predict(
                classifier=classifier, paths=paths, patient=patient, judge_all=options.judge_all
            )
            for number, judged in enumerate(judgements, start=1):
                found = judged.to_json()
                if options.json:
                    objects.append(found)
                advance(number, len(paths))
                if judged.prediction is None:
                    failed += 1
                    print(f"{judged.path}: {judged.sentence}", file=sys.stderr)
                    continue
                if not options.json:
                    print(f"{judged.path}: {judged.sentence}")
                if not explain:
                    continue
                try:
                    found["explanations"] = made = explain(judged)
                except ImageError as error:  # it was there to be judged, and is no longer
                    failed += 1
                    print(f"{judged.path}: not explained: {error}", file=sys.stderr)
                    continue
                if not options.json:
                    print(*(f"  {entry['file'] or entry['note']}" for entry in made), sep="\n")
        write(objects)
    return SOME_FAILED if failed else OK
