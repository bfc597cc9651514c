"""Whether a picture can be drawn into a file, known before the work that it shows."""

import contextlib
from pathlib import Path

from jobs.extras import require
from retrieval.errors import ConfigError


def check_picture(path: Path) -> None:
    """Raises ConfigError where a picture could not be drawn, before hours are spent on what it shows."""
    require("--plot", "matplotlib")
    with contextlib.chdir("/"):  # it would read a `matplotlibrc` of the folder that it is imported in
        from matplotlib.backend_bases import FigureCanvasBase
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ConfigError(
            f"{path}: a plot cannot be of this type", hint=f"Types: {', '.join(sorted(known))}."
        )
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.absolute().parent}")
