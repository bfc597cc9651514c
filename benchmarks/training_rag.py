"""What end-to-end training gains: answers before and after, on questions about titles it has not seen.

    python benchmarks/training_rag.py --index INDEX --beir FOLDER --work FOLDER [--generator NAME]
        [--questions 200] [--train-questions 600] [--set training.steps=300 ...]

INDEX is built over the collection of FOLDER, whose queries have answers (SQuAD). A third of the titles is
kept for the test. Measured over the k passages that the dense search of each side returns: the negative
log-likelihood of the first answer, of its own tokens and with the citation and the end that training adds to
them; recall@k; EM and F1 (SQuAD's normalisation) of what RAG-Sequence decodes (the paper's fast decoding, one
beam a passage). Differences by paired randomisation
tests. Ends with status 1 where EM or recall is significantly lower.
"""

import argparse
import json
import random
import re
import shutil
import string
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from training import build_config, corpusmill, place_settings, trained  # beside this script

from jobs.evaluation.measuring.significance import randomisation_test
from pipelines.judged import holds_any, read_beir, sequences_of
from pipelines.training.methods.bank import stored_vectors
from pipelines.training.models import TrainedGenerator
from retrieval.format import Passage
from retrieval.generation import Prompt, make_prompt
from retrieval.generation.marginal import (
    CausalConditionals,
    decode_sequence,
    log_prior,
    sequence_likelihood,
)
from retrieval.search import Searcher

MEASURES = {"nll": "NLL of the answer", "nll_whole": "with citation and end", "em": "EM", "f1": "F1"}
ARTICLES = re.compile(r"\b(a|an|the)\b")
CITATIONS = re.compile(r"\[[\d, ]*\]")
NEW_TOKENS = 16


def normalized(text: str) -> list[str]:
    """Words as SQuAD's evaluation compares them."""
    plain = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return ARTICLES.sub(" ", plain).split()


def scored(written: str, answers: list[str]) -> tuple[float, float]:
    """EM and F1 of an answer without its citations, the best over the gold ones."""
    own, best = normalized(CITATIONS.sub(" ", written)), (0.0, 0.0)
    for answer in answers:
        gold = normalized(answer)
        common = sum((Counter(own) & Counter(gold)).values())
        f1 = 2 * common / (len(own) + len(gold)) if common else 0.0
        best = (max(best[0], float(own == gold)), max(best[1], f1))
    return best


def split(beir: Path, work: Path, train: int, test: int) -> Path:
    """A BEIR folder with train and test judgements of disjoint titles, drawn with a seed."""
    titles = {row["_id"]: row["title"] for row in map(json.loads, (beir / "corpus.jsonl").open())}
    found = read_beir(beir, "test")
    names = sorted(set(titles.values()))
    random.Random(0).shuffle(names)
    held = set(names[: len(names) // 3])
    parts: dict[str, list[Any]] = {"train": [], "test": []}
    for query in found.queries:
        documents = list(found.qrels[query.query_id])
        part = "test" if titles[documents[0]] in held else "train"
        parts[part].append((query, documents))
    folder = work / "beir"
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    lines = []
    for (name, own), count in zip(parts.items(), (train, test), strict=True):
        random.Random(1).shuffle(own)
        rows = ["query-id\tcorpus-id\tscore\n"]
        for query, documents in own[:count]:
            lines.append(
                json.dumps({"_id": query.query_id, "text": query.text, "answers": list(query.answers)})
            )
            rows += [f"{query.query_id}\t{document}\t1\n" for document in documents]
        (folder / f"qrels/{name}.tsv").write_text("".join(rows))
    (folder / "queries.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder


class SayingSomething(CausalConditionals):
    """No answer is empty: an untrained generator often likes that best, and would be compared by it."""

    def __init__(self, generator: TrainedGenerator, prompts: list[Prompt]) -> None:
        lines = (
            number for token, number in generator.tokenizer.get_vocab().items() if token[0] in "\n\u010a"
        )
        ends = [generator.tokenizer.eos_token_id, *lines]
        super().__init__(generator.model, [generator.prompt_ids(one) for one in prompts], ends)

    def start(self) -> torch.Tensor:
        """As CausalConditionals.start."""
        first = super().start()
        first[:, self.end] = -torch.inf
        return first


class Side:
    """An index with its query encoder, and a generator: before, or after."""

    def __init__(self, index: Path, generator: str | None, k: int, scale: float) -> None:
        self.searcher = Searcher.open(str(index))
        self.generator = TrainedGenerator(generator, lora_rank=None)
        self.k, self.scale = k, scale

    def retrieved(self, question: str) -> tuple[list[Passage], torch.Tensor]:
        """Passages, and their scores (k,)."""
        vector = self.searcher.encode([question])
        ranked = self.searcher.rank([question], self.k, mode="dense", rerank="none", vectors=vector)
        ids = ranked.ids[0][ranked.ids[0] >= 0]
        passages = self.searcher.passages(ids)
        scores = stored_vectors(self.searcher, ids).astype(np.float32) @ vector[0]
        return [passages[number] for number in ids.tolist()], torch.from_numpy(scores)

    @torch.no_grad()
    def measured(self, question: str, answers: list[str]) -> dict[str, float]:
        """The measures of a question; its prompts are read once for all of them."""
        passages, scores = self.retrieved(question)
        prompts = [make_prompt(question, [one], self.generator.count, 160) for one in passages]
        prior, model = log_prior(scores, self.scale), SayingSomething(self.generator, prompts)
        best = decode_sequence(model, prior, beams=1, most=NEW_TOKENS, thorough=False)[0]
        em, f1 = scored(self.generator.tokenizer.decode(best.tokens, skip_special_tokens=True), answers)
        plain = self.generator.tokenizer(f" {answers[0]}", add_special_tokens=False)["input_ids"]
        whole = [*self.generator.answer_ids(answers[0], 32)[:-1], model.end]
        own, full = sequence_likelihood(prior, model.score([plain[:31], whole]).transpose(0, 1)).tolist()
        held = any(holds_any(one.text, sequences_of(answers)) for one in passages)
        return {"nll": -own, "nll_whole": -full, "em": em, "f1": f1, "recall": float(held)}


def compared(sides: list[Side], folder: Path, work: Path) -> list[list[dict[str, float]]]:
    """The measures of each side for each test question; what is there already is not measured again."""
    queries = read_beir(folder, "test").queries
    found = []
    for name, side in zip(("before", "after"), sides, strict=True):
        path = work / f"{name}.jsonl"
        done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        with path.open("a") as file:
            for query in queries[len(done) :]:
                done.append(side.measured(query.text, list(query.answers)))
                file.write(json.dumps(done[-1]) + "\n")
                file.flush()
        found.append(done)
    return found


def main() -> None:
    """Split, train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--beir", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--generator", help="default: Gemma 3 270M of its package")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--train-questions", type=int, default=600)
    parser.add_argument("--set", action="append", default=[], help="key of the configuration and its value")
    args = parser.parse_args()
    args.work, args.index, args.beir = (path.resolve() for path in (args.work, args.index, args.beir))
    args.work.mkdir(parents=True, exist_ok=True)
    folder = split(args.beir, args.work, args.train_questions, args.questions)
    config: dict[str, Any] = {
        "index": {"path": str(args.index)}, "examples": {"beir": str(folder), "most_dev": 40},
        "negatives": {"source": "none"}, "rag": {"passages": 4, "generator": args.generator},
        "training": {"steps": 300, "batch": 1, "evaluations": 2},
    }  # fmt: skip
    place_settings(config, args.set)
    outcome = trained("rag", config, args.work)
    target = args.work / "index"
    if not target.exists():
        shutil.copytree(args.index, target)
    query = {"query_name": outcome["models"]["query_name"]}
    corpusmill("build", build_config(args.index, target, query, "rag"))
    k, scale = config["rag"]["passages"], config["rag"].get("prior_scale", 20.0)
    sides = [
        Side(args.index, args.generator, k, scale), Side(target, outcome["models"]["generator"], k, scale)
    ]  # fmt: skip
    before, after = compared(sides, folder, args.work)
    print(f"| {len(before)} questions | before | after | change | p |\n| --- | --- | --- | --- | --- |")
    worse = []
    for name, label in {**MEASURES, "recall": f"recall@{k}"}.items():
        pair = [np.array([one[name] for one in side]) for side in (before, after)]
        p = randomisation_test(pair[1] - pair[0])
        means = [float(side.mean()) for side in pair]
        change = f"{means[1] / means[0] - 1:+.0%}" if means[0] else ""
        print(f"| {label} | {means[0]:.3f} | {means[1]:.3f} | {change} | {p:.2g} |")
        if name in ("em", "recall") and means[1] < means[0] and p < 0.05:
            worse.append(label)
    print(
        f"{outcome['seconds']:.0f} s in all, {outcome['step']:.2f} s a step, the worker held "
        f"{outcome['peak'] / 1e9:.1f} GB; best at step {outcome['best_step']} of {outcome['steps']}",
        file=sys.stderr,
    )
    if worse:
        sys.exit(f"significantly worse: {', '.join(worse)}")


if __name__ == "__main__":
    main()
