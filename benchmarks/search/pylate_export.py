"""Whether PyLate reads a ColBERT model that `corpusmill train colbert` exported: the same token vectors.

    python -m venv ENV && ENV/bin/pip install pylate==1.6.0
    python benchmarks/search/pylate_export.py MODEL --pylate-python ENV/bin/python [--texts FILE]

PyLate 1.6.0 asks for sentence-transformers 5.3.0 and transformers up to 5.3.0, which are older than ours: it
needs an environment of its own. FILE: JSONL with title and text. Ends with status 1 where a vector differs by
more than 1e-4.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from retrieval.models.late_interaction import open_token_encoder
from retrieval.settings import LateInteractionSettings, ModelSettings

QUERIES = ["Which sea does the river flow into?", "who; wrote, it - and when?", "x"]
PASSAGES = ["The river rises in the hills; it flows into the Grey Sea, near Holm.", "Bread!", "a b c"]
THEIRS = """
import json, sys
import numpy as np
from pylate import models

asked = json.load(open(sys.argv[2]))
model = models.ColBERT(sys.argv[1], device="cpu")
found = [*model.encode(asked["queries"], is_query=True), *model.encode(asked["passages"], is_query=False)]
np.savez(sys.argv[3], *[np.asarray(one, np.float32) for one in found])
"""


def theirs(python: Path, model: Path, queries: list[str], passages: list[str]) -> list[np.ndarray]:
    """Token vectors of each text, as PyLate gives them."""
    with tempfile.TemporaryDirectory() as name:
        asked, found = Path(name) / "asked.json", Path(name) / "found.npz"
        asked.write_text(json.dumps({"queries": queries, "passages": passages}))
        subprocess.run([python, "-c", THEIRS, model, asked, found], check=True)
        with np.load(found) as arrays:
            return [arrays[key] for key in arrays.files]


def main() -> None:
    """Encode both ways, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--pylate-python", type=Path, required=True)
    parser.add_argument("--texts", type=Path, help="JSONL; its first 100 texts beside the built-in ones")
    args = parser.parse_args()
    passages = list(PASSAGES)
    if args.texts is not None:
        passages += [json.loads(line)["text"] for line in args.texts.read_text().splitlines()[:100]]
    settings = LateInteractionSettings(model=ModelSettings(name=str(args.model.resolve()), dtype="float32"))
    encoder = open_token_encoder(settings, ModelSettings())
    ours = [*encoder.encode_queries(QUERIES), *encoder.encode_passages([""] * len(passages), passages)]
    other = theirs(args.pylate_python, args.model.resolve(), QUERIES, passages)
    shapes = [(mine.shape, their.shape) for mine, their in zip(ours, other, strict=True)]
    if any(mine != their for mine, their in shapes):
        sys.exit(f"other tokens are kept: {[pair for pair in shapes if pair[0] != pair[1]][:3]}")
    worst = max(float(np.abs(mine - their).max()) for mine, their in zip(ours, other, strict=True))
    print(f"{len(ours)} texts, {sum(map(len, ours)):,} vectors of {ours[0].shape[1]}: differ by {worst:.1g}")
    if worst > 1e-4:
        sys.exit("the vectors differ")


if __name__ == "__main__":
    main()
