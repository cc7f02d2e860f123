"""A result's map laid over its picture, as a file to look at."""

from pathlib import Path

import typer

from protos import event_pb2
from services.cli.answers.seen import read_map
from services.cli.problem import Problem

OPTION = "--overlay"


def check_overlay(image: Path, out: Path, takes_images: bool) -> None:
    """Before anything is asked.

    Raises:
        BadParameter: there are no pictures to lay anything over, or `out` cannot be written, or is the picture itself.
    """
    if not takes_images:
        raise typer.BadParameter("a map is laid over pictures, not over text: ask imaging", param_hint=OPTION)
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"{out} must be a file in a folder that exists", param_hint=OPTION)
    if out.exists() and image.exists() and out.samefile(image):
        raise typer.BadParameter(f"{out} is the picture itself, which stays as it is", param_hint=OPTION)


def lay_over(told: event_pb2.Explanation, image: Path, out: Path) -> None:
    """Writes a PNG: the picture as the model saw it, and the map on it.

    Raises:
        Problem: the explanation holds no whole map, or the file cannot be written.
    """
    from shared.picture import reading  # with its decoders, which no other command needs
    from shared.picture.overlay import overlay

    cells = read_map(told)
    if not cells.size:
        raise Problem(f"the explanation of {told.head} holds no map, so that there is nothing to lay over {image}")
    made = overlay(reading.read(image.read_bytes()).pixels, cells, f"{told.head}: {told.label}")
    try:
        out.write_bytes(made)
    except OSError as error:
        raise Problem(f"{out} cannot be written: {error.strerror}") from error
