"""A plot as SVG inside a web page, in the page's font and colours (light or dark).

The page's style defines the colours as the variables --ink, --muted, --line, --card and --series-0 to --series-9.
"""

import io
import re
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from acol.figures.text import EDGE, GRID, INK, MUTED, SERIES, house_style
from acol.figures.training_curves import Look

DASHES = ("-", ":", "-.")
_VARIABLES = {INK: "--ink", MUTED: "--muted", EDGE: "--line", GRID: "--line", "#ffffff": "--card"}
_VARIABLES |= {colour: f"--series-{number}" for number, colour in enumerate(SERIES)}
_STILL = {
    "Date": None,
    "Creator": None,
    "Format": None,
    "Type": None,
}  # no metadata, so that the bytes depend only on the plot


def look(index: int) -> Look:
    """Return the look of the nth line: ten colours, then the same with other dashes."""
    return SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)]


def inline_svg(name: str, draw: Callable[[Axes], None], width: float = 4.6, height: float = 2.9) -> str:
    """Return the SVG of what `draw` draws on axes; `width` and `height` are in inches.

    Ids begin with `name`, so that one page can hold several plots; the group ids `cell-n` become classes. `draw` must
    not write names from users: its text becomes markup of the page.
    """
    written = io.StringIO()
    with house_style(), rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02))
        draw(figure.add_subplot())
        FigureCanvasSVG(figure)
        figure.savefig(written, format="svg", transparent=True, metadata=_STILL)
    text = written.getvalue()
    text = '<svg aria-hidden="true"' + text[text.index("<svg") + 4 :]  # the page says in words what it shows
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1))
    text = re.sub(r'id="(cell-\d+)"', r'class="\1"', text)
    text = re.sub(r'id="(?=[^"])', f'id="{name}-', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font-family: [^;]*; ", "", text)  # the page's font
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: _coloured(found[0]), text)


def _coloured(colour: str) -> str:
    return f"var({_VARIABLES[colour]})" if colour in _VARIABLES else colour
