"""The visualizer: graphs in the browser (Model Explorer), and reports as one HTML file."""

from __future__ import annotations

from collections.abc import Callable

Status = Callable[[str], None]
"""Called with what is being done."""
