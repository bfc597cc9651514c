"""What only some commands need, and the extra of corpusmill that brings it."""

from importlib.util import find_spec

from retrieval.errors import ConfigError

EXTRAS = {
    "faiss": "cpu",
    "ir_measures": "evaluate",
    "matplotlib": "plot",
    "peft": "train",
}


def require(what: str, *modules: str) -> None:
    """Raises ConfigError where a module is not installed that `what` needs, before any work is done."""
    for module in modules:
        if find_spec(module) is None:
            raise missing(module, what)


def missing(module: str, what: str = "this command") -> ConfigError:
    """The error of `what` that needs a module of EXTRAS, with the command that installs it."""
    hint = f"pip install 'corpusmill[{EXTRAS[module]}]'"
    if module == "faiss":
        hint += ", or 'corpusmill[gpu]' for NVIDIA GPUs"
    return ConfigError(f"{what} needs the package {module}, which is not installed", hint=hint)
