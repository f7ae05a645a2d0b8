"""The command `explain-check`, and what `predict --explain` adds to `predict`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skin_model.commands import OK, json_file
from skin_model.errors import ConfigurationError

if TYPE_CHECKING:
    from skin_model.services.prediction import Judged

Explain = Callable[["Judged"], list[dict[str, Any]]]


def add_explain_check(parser: argparse.ArgumentParser) -> None:
    """Add the options of `explain-check`."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="HAM10000, best with its lesion masks")
    parser.add_argument("--model", type=Path, metavar="DIR", help="the model (default: the one in use)")
    parser.add_argument("--images", type=int, default=200, help="unseen lesions, one picture of each (default 200)")
    parser.add_argument("--slow-images", type=int, default=40, help="of these, for methods of seconds (default 40)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="note each picture there, and go on from it, also with more or fewer images",
    )
    parser.add_argument("--keep", action="store_true", help="put the figures into the model, for page and report")
    parser.set_defaults(run=_explain_check)


def add_explain(parser: argparse.ArgumentParser) -> None:
    """Add what `predict` takes to explain its answers."""
    parser.add_argument("--explain", type=Path, metavar="DIR", help="also write each picture under its map there")
    parser.add_argument(
        "--method", action="append", metavar="NAME",
        help="gradcam (default), gradcam++, layercam, scorecam, occlusion, saliency, lime or shap; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--target", action="append", metavar="CLASS", help="likeliest (default) or a class code; may be repeated"
    )


def explainer(options: argparse.Namespace) -> Callable[[Any], Explain] | None:
    """What `predict` does with each answer, once given its classifier; None without --explain.

    Raises:
        ConfigurationError: for unknown names, or --method and --target without --explain.
    """
    from skin_model.services import overlays

    if options.explain is None:
        if options.method or options.target:
            raise ConfigurationError("--method and --target say what --explain DIR is to write; add it.")
        return None
    methods, targets = options.method or ["gradcam"], options.target or [overlays.LIKELIEST]
    overlays.check_order(methods, targets)
    options.explain.mkdir(parents=True, exist_ok=True)
    return lambda classifier: (
        lambda judged: overlays.write(
            classifier=classifier, judged=judged, folder=options.explain, methods=methods, targets=targets
        )
    )


def _explain_check(options: argparse.Namespace) -> int:
    from skin_model.progress import steps
    from skin_model.services import explanation_check, workspace

    folder = options.model or workspace.folder_in_use()
    if options.keep:
        workspace.refuse_change(folder)
        explanation_check.require_enough(options.images, options.slow_images)
    with json_file(options.json) as write:
        classifier = workspace.load(folder)
        with steps("measuring") as advance:
            found = explanation_check.check(
                classifier=classifier, data=options.data, images=options.images, slow_images=options.slow_images,
                seed=options.seed, rows_file=options.rows, on_progress=advance,
            )  # fmt: skip
        write(found)
    for line in explanation_check.lines(found):
        print(line)
    if options.keep:
        explanation_check.keep(found, classifier.bundle)
        print(f"kept in {classifier.bundle.folder}")
    return OK
