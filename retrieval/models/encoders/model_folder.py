"""What a sentence-transformers folder says of itself, read from its JSON files alone, without torch.

Tokenizing and planning need the window, the prompts and the tokenizer long before, and on other
machines than, the weights.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from retrieval.errors import ModelError
from retrieval.models.checks import read_model_json

Side = Literal["passage", "query"]
# sentence-transformers' names of the tasks that a router tells apart.
TASKS: dict[Side, str] = {"passage": "document", "query": "query"}

_TRANSFORMER_CONFIGS = [
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
    "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
]  # fmt: skip
_PROMPT_NAMES: dict[Side, tuple[str, ...]] = {
    "passage": ("document", "passage", "corpus"),
    "query": ("query",),
}
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean", "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip


@dataclass(frozen=True)
class ModelLayout:
    """One side of a model: where its tokenizer lies, its window, prompt, pooling and similarity.

    `window` and `positions` are tokens, special ones included: the model's own limit, and the most
    that its position embeddings allow (None: no such limit). `dimension` of the vectors, None where the
    files do not say. `routes` maps the index of a router in
    modules.json to the route that this side takes. `window` is None where the model states no limit.
    """

    side: Side
    input_folder: Path
    window: int | None
    positions: int | None
    lowercase: bool
    prompt: str
    include_prompt: bool
    pooling: str
    normalizes: bool
    similarity: str | None
    truncate_dim: int | None
    dimension: int | None
    modules: tuple[str, ...]
    routes: dict[int, str]


def read_layout(folder: Path, side: Side) -> ModelLayout:
    """Layout of one side of the model in `folder`. Raises ModelError where it cannot embed text."""
    routes: dict[int, str] = {}
    modules: list[tuple[str, Path]] = []
    listed = read_model_json(folder / "modules.json")
    for index, module in enumerate(listed or []):
        path = folder / module["path"] if module["path"] else folder
        if module["type"].endswith("Router") or module["type"].endswith("Asym"):
            routes[index], inner = _route(path, TASKS[side])
            modules += inner
        else:
            modules.append((module["type"].rsplit(".", 1)[-1], path))
    if listed is None:
        # sentence-transformers takes a bare transformer with mean pooling.
        modules = [("Transformer", folder)]
    kind, input_folder = modules[0] if modules else ("nothing", folder)
    if "Transformer" not in kind:
        raise ModelError(
            f"model in {folder} begins with {kind}, and only transformers can be encoders here",
            hint="Choose a sentence-transformers model whose first module is a Transformer.",
        )
    card = read_model_json(folder / "config_sentence_transformers.json") or {}
    window, positions, lowercase = _window(input_folder, side)
    pooling, include_prompt = _pooling([path for kind, path in modules if kind == "Pooling"])
    prompts = card.get("prompts") or {}
    return ModelLayout(
        side=side,
        input_folder=input_folder,
        window=window,
        positions=positions,
        lowercase=lowercase,
        prompt=next((prompts[name] for name in _PROMPT_NAMES[side] if prompts.get(name) is not None), ""),
        include_prompt=include_prompt,
        pooling=pooling if listed is not None else "mean",
        normalizes=any(kind == "Normalize" for kind, _ in modules),
        similarity=card.get("similarity_fn_name"),
        truncate_dim=card.get("truncate_dim"),
        dimension=card.get("truncate_dim") or _dimension(modules),
        modules=tuple(kind for kind, _ in modules),
        routes=routes,
    )


def _route(path: Path, task: str) -> tuple[str, list[tuple[str, Path]]]:
    """The route of `task` for text and its modules, by the order of rules of sentence-transformers."""
    config = read_model_json(path / "router_config.json") or read_model_json(path / "config.json") or {}
    structure: dict[str, list[str]] = config.get("structure", {})
    parameters: dict[str, Any] = config.get("parameters", {})
    mappings = {}
    for key, route in (parameters.get("route_mappings") or {}).items():
        mappings[ast.literal_eval(key)] = route
    for key in ((task, "text"), (task, None), (None, "text"), (None, None)):
        if key in mappings:
            route = mappings[key]
            break
    else:
        names = (task, "text", parameters.get("default_route"))
        route = next((name for name in names if name in structure), None)
    if route not in structure:
        raise ModelError(
            f"router in {path} has no route for the task {task!r}; it has {', '.join(structure) or 'none'}",
            hint="Choose a model with routes `query` and `document`.",
        )
    types = config.get("types", {})
    return route, [(types[name].rsplit(".", 1)[-1], path / name) for name in structure[route]]


def _window(folder: Path, side: Side) -> tuple[int | None, int | None, bool]:
    """(window, positions, whether to lowercase), as sentence-transformers derives them."""
    own: dict[str, Any] = next((c for n in _TRANSFORMER_CONFIGS if (c := read_model_json(folder / n))), {})
    config = read_model_json(folder / "config.json") or {}
    tokenizer = read_model_json(folder / "tokenizer_config.json") or {}
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions <= 0:  # xlnet writes -1
        positions = None
    elif config.get("model_type") in {"roberta", "xlm-roberta", "mpnet", "camembert", "longformer"}:
        # These count positions from the padding id on, so that many are never used.
        positions -= int(config.get("pad_token_id", 1)) + 1
    limits = [own.get("max_seq_length"), own.get(f"{TASKS[side]}_length")]
    if limits[0] is None:
        limits.append(tokenizer.get("model_max_length"))
    # transformers writes 1e30 for a tokenizer without a limit.
    known = [int(limit) for limit in [*limits, positions] if limit is not None and limit < 10_000_000]
    return min(known, default=None), positions, bool(own.get("do_lower_case", False))


def _dimension(modules: list[tuple[str, Path]]) -> int | None:
    """Dimension of the vectors: of the last dense layer, else of the transformer."""
    for kind, path in reversed(modules):
        key = {"Dense": "out_features", "Transformer": "hidden_size"}.get(kind)
        value = (read_model_json(path / "config.json") or {}).get(key) if key else None
        if isinstance(value, int):
            return value
    return None


def _pooling(folders: list[Path]) -> tuple[str, bool]:
    """(pooling modes joined by "+", or "none"; whether the prompt's tokens are pooled)."""
    config = read_model_json(folders[0] / "config.json") if folders else None
    if config is None:
        return "none", True
    modes = config.get("pooling_mode") or [mode for key, mode in _POOLING_KEYS.items() if config.get(key)]
    return "+".join([modes] if isinstance(modes, str) else modes), bool(config.get("include_prompt", True))
