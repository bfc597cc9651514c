"""What a job of a Ray cluster is sent: the source files of our packages, and its configuration."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import yaml
from pydantic import BaseModel

from retrieval.errors import CorpusmillError

PACKAGES = ("retrieval", "pipelines", "jobs")
CONFIG_NAME = "config.yaml"
MAX_PACKAGE_BYTES = 20_000_000


class SubmitError(CorpusmillError):
    """The cluster cannot be reached, or refuses the job."""


@contextmanager
def working_directory(config: BaseModel) -> Iterator[Path]:
    """A temporary folder with the source files of our packages and the configuration, nothing else."""
    with tempfile.TemporaryDirectory(prefix="corpusmill-submit-") as name:
        folder = Path(name)
        for package in PACKAGES:
            spec = find_spec(package)
            if spec is None or spec.origin is None:
                raise SubmitError(f"the package {package} is not installed", hint="pip install corpusmill")
            source = Path(spec.origin).parent
            for path in sorted([*source.rglob("*.py"), *source.rglob("*.pyi")]):
                target = folder / package / path.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        values = config.model_dump(mode="json", exclude_unset=True)
        (folder / CONFIG_NAME).write_text(
            yaml.safe_dump(values, sort_keys=False, allow_unicode=True), "utf-8"
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if size > MAX_PACKAGE_BYTES:
            raise SubmitError(
                f"the packages have {size:,} bytes, more than {MAX_PACKAGE_BYTES:,}",
                hint=f"Something large lies beside the code of {', '.join(PACKAGES)}: move it out.",
            )
        yield folder
