"""The part of `evaluate` that asks for answers."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobs.drawing import check_picture
from jobs.evaluation.answers.asked import Evaluating
from jobs.terminal import show, tell
from retrieval.errors import ConfigError

if TYPE_CHECKING:
    from jobs.evaluation.answers.questions import Questions
    from jobs.evaluation.answers.running import AnswerRun
    from retrieval.generation import GenerationSettings
    from retrieval.search import Searcher


def evaluate_answers(searcher: "Searcher", asked: Evaluating) -> tuple[dict[str, Any], list[str]]:
    """Ask all questions in each way; the figures as JSON, and as lines.

    Every question is answered, whatever its support: the threshold is applied afterwards, so that the curve
    of risk and coverage is known. Raises CorpusmillError.
    """
    from jobs.evaluation.answers.measuring import differences, summary
    from jobs.evaluation.answers.questions import read_answer_questions
    from jobs.evaluation.answers.report import answers_json, answers_lines, draw_answers
    from jobs.evaluation.answers.running import earlier_run
    from retrieval.generation import CALIBRATION

    if asked.plot is not None:
        check_picture(asked.plot)
    questions = _sampled(read_answer_questions(asked.file, asked.split), asked.sample)
    # What cannot be asked is told before hours of work.
    ways = {decode: asked.settings.changed({"decode": decode}) for decode in asked.decodes}
    if not ways:
        ways = {asked.settings.decode: asked.settings}
    threshold = asked.settings.support_threshold
    threshold = CALIBRATION.threshold if threshold is None else threshold
    before = [earlier_run(asked.against, questions)] if asked.against is not None else []
    runs = before + [_run(name, own, searcher, questions, asked) for name, own in ways.items()]
    summaries = {run.name: summary(run, questions, threshold, asked.price) for run in runs}
    found = differences(runs, threshold)
    if asked.plot is not None:
        draw_answers(asked.plot, f"{questions.name}, {len(questions.questions):,} questions", runs, summaries)
        tell(f"The plot is in {asked.plot}.")
    told = (questions.name, len(questions.questions), summaries, found)
    return answers_json(*told), list(answers_lines(*told))


def _run(
    name: str, settings: "GenerationSettings", searcher: "Searcher", questions: "Questions", asked: Evaluating
) -> "AnswerRun":
    from jobs.commands import Asking
    from jobs.evaluation.answers.judge import judged
    from jobs.evaluation.answers.running import ask_all, fingerprint
    from jobs.evaluation.view import QueryView

    settings = settings.model_copy(update={"support_threshold": 0.0})
    made_of = fingerprint({
        "settings": settings.model_dump(exclude={"timeout_s"}), "options": asked.options,
        "index": searcher.manifest.version, "config": searcher.manifest.config,
        "questions": [one.model_dump() for one in questions.questions],
    })  # fmt: skip
    file = None
    if asked.runs is not None:
        try:
            asked.runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{asked.runs} cannot be a folder for runs: {error.strerror}") from error
        file = asked.runs / f"{name}.jsonl"
    with QueryView() as view:
        total = len(questions.questions)
        asking = Asking(searcher, settings)
        run = ask_all(
            name, questions, asking, asked.options, made_of, file, lambda done: view(name, done, total)
        )
    if asked.judge is not None:
        by_id = {one.id: one for one in questions.questions}
        run.outcomes = judged(run.outcomes, by_id, asked.judge.open())
    for one in [one for one in run.outcomes if one.answer is None][:3]:
        tell(f"{name}: question {one.id} failed: {one.error}")
    if file is not None:
        tell(f"The run is in {file}.")
    return run


def _sampled(questions: "Questions", most: int | None) -> "Questions":
    """So many of them, drawn with a fixed seed, in their order."""
    import numpy as np

    if most is None or most >= len(questions.questions):
        return questions
    drawn = np.sort(np.random.default_rng(0).choice(len(questions.questions), most, replace=False))
    return replace(questions, questions=tuple(questions.questions[place] for place in drawn.tolist()))


def print_answers(found: tuple[dict[str, Any], list[str]], as_json: bool) -> None:
    """One JSON object, or lines for people."""
    from jobs.arguments import show_json

    if as_json:
        show_json(found[0])
        return
    for line in found[1]:
        show(line)
