"""The command line. Heavy imports happen inside the commands, so that ``--help`` stays quick."""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any

import click

from qgraph import __version__
from qgraph.errors import QGraphError, suggest

COMMANDS = {
    "capture": "Capture a PyTorch model or upgrade an ONNX file.",
    "transform": "Run passes on a model: quantize it, clean it.",
    "train": "Train graphs against teachers, by a recipe.",
    "passes": "List the passes, or describe one.",
    "ops": "List the ops of integer programs, or describe one.",
    "export": "Write a model for ONNX Runtime.",
    "compile": "Compile a quantized model to an integer program.",
    "run": "Run an .onnx or .qgp file on data.",
    "bench": "Time a model, against other engines if wished.",
    "compare": "Show how two forms of a model differ on data.",
    "inspect": "Summarise a model: ops, bits, bytes, MACs.",
    "view": "Look at graphs in the browser.",
    "report": "Write one HTML file about models: size, accuracy, time, worst layers.",
}
DEBUG, DEBUG_HELP = "--debug", "Show the traceback of errors."
"""An option of every command, in front of it or behind."""


class Commands(click.Group):
    """Loads a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"qgraph.cli.{name}_command").command
        if not any(DEBUG in parameter.opts for parameter in command.params):
            command.params.append(click.Option([DEBUG], is_flag=True, expose_value=False, help=DEBUG_HELP))
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"no command {args[0]!r}{suggest(args[0], COMMANDS)}; commands: {', '.join(COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="qgraph")
@click.option(DEBUG, is_flag=True, expose_value=False, help=DEBUG_HELP)
def cli() -> None:
    """Compress neural networks: what you train is what you ship."""


COLLECTION = (100_000, 50, 50)
"""Thresholds of the garbage collector: a graph is many small objects that live long, and it would look through them often."""


def main() -> None:
    """Entry point: errors are one sentence; exit code 2 for the user's mistake, 1 for ours."""
    gc.set_threshold(*COLLECTION)
    debug = DEBUG in sys.argv
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except QGraphError as error:
        if debug:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if debug:
            raise
        click.echo(f"error in qgraph itself: {type(error).__name__}: {error}; run again with --debug and report it", err=True)
        sys.exit(1)
