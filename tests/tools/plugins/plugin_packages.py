"""Installed packages with entry points, made for a test: a module and what pip would write beside it."""

import shutil
from pathlib import Path

GROUP = "corpusmill.dense_types"


def install(
    site: Path, module: str, source: str | Path, entry_points: dict[str, str], name: str = ""
) -> Path:
    """A folder for the path with a module and its distribution. entry_points: objects by name."""
    site.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        shutil.copy(source, site / f"{module}.py")
    else:
        (site / f"{module}.py").write_text(source)
    info = site / f"{name or module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name or module}\nVersion: 1.0\n")
    lines = [f"{point} = {module}:{place}" for point, place in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    return site


def install_signs(site: Path) -> Path:
    """The type of index `signs`, as a user's own package would bring it."""
    return install(site, "corpusmill_signs", Path(__file__).with_name("signs.py"), {"signs": "SIGNS"})
