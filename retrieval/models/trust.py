"""What a model may do, as whoever builds or opens an index says for that call; no file ever says it."""

from dataclasses import dataclass
from typing import Literal

_PICKLES = "A pickle can run any code when it is loaded. "
_CODE_HINTS = {
    "configuration": "If you trust its authors, set `model.trust_remote_code: true`: "
    "their code runs on every worker.",
    "index": "It would run as you. If you trust whoever made the index, allow it for this call: "
    "--trust-remote-code, Searcher.open(..., trust_remote_code=True), or `trust_remote_code: true` in the "
    "settings of the service. That the index asks for it counts for nothing.",
    "generator": "Name a generator that transformers knows: none may bring code.",
}
_PICKLE_HINTS = {
    "configuration": f"{_PICKLES}Convert the model to safetensors, or, if you trust it, set "
    "`model.allow_pickle: true`.",
    "index": f"{_PICKLES}If you trust whoever made the index, allow it for this call: --allow-pickle, "
    "Searcher.open(..., allow_pickle=True), or `allow_pickle: true` in the settings of the service.",
    "generator": f"{_PICKLES}Convert the model to safetensors.",
}


@dataclass(frozen=True)
class Trust:
    """Consent of the caller: to nothing, unless it says so.

    `remote_code`: run Python code that a model brings, or that its files name. `pickle`: load weights that
    are not safetensors. `of`: whose models they are, which decides how a refusal says to allow them.
    """

    remote_code: bool = False
    pickle: bool = False
    of: Literal["configuration", "index", "generator"] = "configuration"

    @property
    def code_hint(self) -> str:
        """How to allow code."""
        return _CODE_HINTS[self.of]

    @property
    def pickle_hint(self) -> str:
        """How to allow pickles."""
        return _PICKLE_HINTS[self.of]


OPENED = Trust(of="index")  # what whoever opens an index has allowed unless it says more
