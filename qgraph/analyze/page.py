"""Reports as one HTML file without outside parts: readable in a browser, by keyboard, and on paper."""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """
:root { font: 15px/1.5 system-ui, sans-serif; color: #1c1b1f; }
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #555; padding-bottom: .3rem; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top; }
.scroll { overflow-x: auto; }
figure { margin: 1rem 0; break-inside: avoid; }
figcaption { color: #555; }
svg { max-width: 100%; height: auto; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 0 1rem; break-inside: avoid; }
details > summary { cursor: pointer; }
nav a { margin-right: 1rem; }
@media print { body { margin: 0; max-width: none; } nav { display: none; } h2 { break-after: avoid; } }
"""


def document(title: str, body: str, sections: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page; ``sections`` are (anchor, heading) for the links on top."""
    links = "".join(f'<a href="#{anchor}">{html.escape(text)}</a>' for anchor, text in sections)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        + (f'<nav aria-label="Sections">{links}</nav>' if links else "")
        + f"<main>{body}</main></html>"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[Any]], caption: str = "") -> str:
    """A table; cells are text."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    said = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f'<div class="scroll"><table>{said}<thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def figure(drawing: Any, says: str) -> str:
    """A matplotlib figure as SVG with a caption, which is also what a screen reader says; the figure is closed."""
    from matplotlib import pyplot

    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg")
    pyplot.close(drawing)
    text = buffer.getvalue()
    image = text[text.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{html.escape(says)}"', 1)
    return f"<figure>{image}<figcaption>{html.escape(says)}</figcaption></figure>"


def axes(width: float = 7.0, height: float = 2.8) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, sizes in inches."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib import pyplot

    drawing, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return drawing, axes
