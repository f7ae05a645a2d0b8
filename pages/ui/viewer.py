"""A picture to zoom and move in, by wheel, drag, pinch, buttons or keys.

Streamlit builds a Plotly figure anew whenever anything in it changes, which would throw away the zoom each
time another map is chosen; this component keeps it.
"""

from pathlib import Path

import numpy as np
import streamlit as st

from skin_model.charts import image_data_uri

_HERE = Path(__file__).resolve().parent
_HTML = """<div class="viewer">
<div class="stage" tabindex="0" role="group"
  aria-label="Picture; plus and minus zoom, arrow keys move, 0 shows all of it">
<div class="moving"><img draggable="false"><div class="frame"></div></div></div>
<div class="buttons">
<button class="in" aria-label="Zoom in" title="Zoom in (+)">+</button>
<button class="out" aria-label="Zoom out" title="Zoom out (-)">&minus;</button>
<button class="whole" aria-label="Show the whole picture" title="Show all (0)">All</button></div></div>"""

_mount = st.components.v2.component(
    "picture_viewer",
    html=_HTML,
    css=(_HERE / "viewer.css").read_text(encoding="utf-8"),
    js=(_HERE / "viewer.js").read_text(encoding="utf-8"),
)


def picture_viewer(
    image: np.ndarray, box: tuple[int, int, int], *, alt: str, subject: str, key: str = "picture-viewer"
) -> None:
    """Show an image with the judged square in a frame.

    Args:
        image: RGB uint8 (H, W, 3), no larger than a screen needs.
        box: (left, top, side) of the judged square in pixels of `image`.
        alt: what the picture shows, for screen readers.
        subject: the zoom stays while this stays.
        key: tells several on one page apart.
    """
    height, width = image.shape[:2]
    _mount(
        key=key,
        data={"source": image_data_uri(image), "width": width, "height": height, "box": list(box), "alt": alt,
              "subject": subject},
    )  # fmt: skip
