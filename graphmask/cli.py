"""The command line: ``graphmask bench | info | masks | view``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

# The packages of the extra `cli`, and their own requirements.
_NEEDED = ("typer", "click", "rich", "shellingham")


def main() -> None:
    """Run the command line; without its dependencies print how to install them, and exit with 2."""
    try:
        app = load_app()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        print(
            f'graphmask: the command line needs {error.name}: pip install "graphmask[cli]"',
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    app()


def load_app() -> typer.Typer:
    """The application with all its commands.

    Raises:
        ModuleNotFoundError: without the extra ``cli``.
    """
    import typer

    from .benchmark.command import bench
    from .inspect.command import info
    from .view.command import masks, view

    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        help="Graph transformers with topological masks.",
    )
    app.add_typer(bench, name="bench")
    for command in (view, info, masks):
        app.command()(command)
    return app


if __name__ == "__main__":
    main()
