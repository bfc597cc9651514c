"""Searches with a key beside 1,000 clients without one that begin something and stop, kind by kind.

    python benchmarks/serve/stalled.py --index INDEX [--count 1000] [--kinds "half a head,TLS"]

Every other search is over a connection of its own. Answered: 200 within 5 seconds. The 95th percentile
without the stalled clients is measured before each kind, in the same way. Clients, service and encoder share
the machine's cores: nothing else should run.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from benchmarks.serve.serve import running, words_of  # noqa: E402
from retrieval.serve.http import hashed_key, new_key  # noqa: E402
from tests.tools.serving.stalled import KINDS, Searches, stalled  # noqa: E402


def main() -> None:
    """Start the service, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", required=True)
    parser.add_argument("--count", type=int, default=1_000, help="stalled clients")
    parser.add_argument("--searches", type=int, default=200, help="for each figure")
    parser.add_argument("--kinds", default=",".join(KINDS), help="separated by commas as they are printed")
    parser.add_argument("--port", type=int, default=8000)
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if kind in args.kinds.split(",")]
    key = new_key()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "keys").write_text(f"search {hashed_key(key)}\n", encoding="utf-8")
        config = Path(folder) / "serve.yaml"
        config.write_text(f"access: {{keys_file: {folder}/keys}}\n", encoding="utf-8")
        with running(words_of(args.index, args.port, config), args.port):
            searches = Searches(args.port, key)
            searches.run(args.searches)  # warms up
            print(f"{'kind':<38}{'answered':>9}{'p95 before':>12}{'with':>9}{'ratio':>7}")
            for kind in kinds:
                _, before = searches.run(args.searches)
                with stalled(args.port, kind, args.count):
                    share, during = searches.run(args.searches)
                print(
                    f"{kind:<38}{share:>9.1%}{before:>9.1f} ms{during:>6.1f} ms{during / before:>7.2f}",
                    flush=True,
                )
                time.sleep(2)


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
