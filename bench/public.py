"""Public data sets, which are never copied into the project: where this machine keeps them, if it does."""

import os
from pathlib import Path

VARIABLE = "TIDEMILL_PUBLIC_DATA"
BESIDE = (
    Path(__file__).resolve().parents[2] / "shared" / "data"
)  # `../shared/data` of the checkout, where nothing else is said


def folder() -> Path:
    """The folder with a subfolder for each data set: what TIDEMILL_PUBLIC_DATA names, or the one beside the checkout."""
    return Path(os.environ.get(VARIABLE) or BESIDE)


def locate(name: str) -> Path:
    """Where the file or folder `name` lies, say `banking77/train.csv`, or would lie."""
    return folder() / name


def explain(name: str) -> str:
    """Why what needs `name` cannot be done; empty where it is there."""
    if locate(name).exists():
        return ""
    return f"there is no {name} in {folder()}; {VARIABLE} names the folder with public data"


def choose(name: str) -> Path | None:
    """As `locate`; None where nobody keeps public data, so that one's own will do.

    Raises:
        FileNotFoundError: a folder was named, but it has no `name`: nothing else is taken for it.
    """
    why = explain(name)
    if why and os.environ.get(VARIABLE):
        raise FileNotFoundError(why)
    return None if why else locate(name)
