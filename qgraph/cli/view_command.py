"""``qgraph view``."""

from __future__ import annotations

import click


@click.command("view")
@click.argument("models", nargs=-1)
@click.option("--report", help="What 'qgraph transform --report' wrote: step through its passes.")
@click.option(
    "--data", help="Compare two models and time programs on this: .npz, .npy, a folder of them, MODULE:FACTORY; else random."
)
@click.option("--batches", type=click.IntRange(1), default=2, show_default=True, help="Batches of the data that are compared.")
@click.option("--threads", default=1, show_default=True, help="Threads with which a program is timed.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of 127.0.0.1 to serve on; 0: a free one.")
@click.option("--no-browser", is_flag=True, help="Print the address and open nothing.")
def command(
    models: tuple[str, ...], report: str | None, data: str | None, batches: int, threads: int, port: int, no_browser: bool
) -> None:
    """Look at one model, or at two side by side (.onnx, .qgp), in the browser."""
    import webbrowser

    from rich.console import Console

    from qgraph.analyze.inputs import batches_for
    from qgraph.errors import QGraphError
    from qgraph.tools.viewer.scenes import build
    from qgraph.tools.viewer.server import Server, explorer_files

    if len(models) > 2 or not (models or report):
        raise QGraphError("give one or two models, or --report; 'qgraph report' takes more")
    explorer_files()
    given = batches_for(models, data, batches)
    with Console(stderr=True).status("reading") as status:
        show = build(models, report, given, threads, status.update)
    for problem in show.problems:
        click.echo(f"warning: {problem}", err=True)
    with Server(show, port) as server:
        click.echo(f"{server.url} (Ctrl-C ends it)")
        if not no_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.stopped.set()
            click.echo("stopped")
