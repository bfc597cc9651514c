"""The command line. Every command reads its arguments, calls one function, and prints what it gives."""

import contextlib
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.arguments import (
    Json,
    Plugins,
    Where,
    fail,
    open_store,
    read_settings,
    resume_command,
    run,
    show_json,
)
from jobs.commands import queries
from jobs.evaluation import command as evaluation
from jobs.extras import EXTRAS, missing, require
from jobs.terminal import BuildView, err, set_aside, show, tell
from jobs.training import EXAMPLES, mine, train_app
from pipelines.config import load_config
from retrieval.errors import ConfigError, CorpusmillError

if TYPE_CHECKING:
    from pipelines.index import Built

app = typer.Typer(
    help="Turn a text corpus into a verified, searchable index, on a laptop or on a Ray cluster.",
    no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip


@app.command(epilog="Example: corpusmill build --corpus articles.jsonl --index indexes/articles")
def build(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="Configuration file (YAML).")
    ] = None,
    corpus: Annotated[
        list[str] | None, typer.Option(help="File, folder, glob or URL; may be repeated.")
    ] = None,
    index: Annotated[str | None, typer.Option(help="Folder or URL of the index.")] = None,
    json_: Json = False,
) -> None:
    """Build an index, or go on where an earlier build stopped."""
    command = resume_command(config, corpus, index)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        require("build", "faiss")
        settings = read_settings(config, corpus, index)
        # Ray prints what befalls nodes and workers; standard output is for results alone.
        with BuildView() as view, contextlib.redirect_stdout(sys.stderr):
            if err.is_terminal:
                view({"message": f"If this stops, go on with: {command}"})
            from pipelines.index import build as build_index

            built = build_index(settings, command, view)
    except CorpusmillError as error:
        # A configuration that cannot be used has to be mended first; its error says how.
        fail(error, *(() if isinstance(error, ConfigError) else (f"To go on: {command}",)))
    except KeyboardInterrupt:
        err.print()
        tell(f"Stopped; what is finished is kept. To go on: {command}")
        raise typer.Exit(130) from None
    except Exception:
        tell(f"Unexpected error; what is finished is kept. To go on: {command}")
        raise
    _show_built(settings.index.path, built, json_)


def _show_built(index: str, built: "Built", json_: bool) -> None:
    found = built.manifest
    if json_:
        show_json({
            "index": index, "version": found.version, "changed": built.changed,
            "documents": found.documents, "rejected": found.rejected, "passages": found.passages,
            "truncated": found.truncated, "reject_reasons": found.reject_reasons,
            "left_out": built.left_out, "notes": found.notes,
            "dense": found.dense_reason, "warnings": found.warnings,
        })  # fmt: skip
        return
    done = "is committed" if built.changed else "is up to date, nothing was done"
    show(
        f"Version {found.version} of {index} {done}: {found.documents:,} documents, "
        f"{found.passages:,} passages, {found.rejected:,} rejected, {found.truncated:,} truncated."
    )
    for line in set_aside(found.reject_reasons, built.left_out, found.notes):
        show(line)
    show(f'Search it: corpusmill search {shlex.quote(index)} "your question"')


for command in (queries.search, queries.ask, queries.serve, queries.key):
    app.command(epilog=queries.EXAMPLES[command.__name__])(command)
app.command(epilog=evaluation.EXAMPLE)(evaluation.evaluate)
app.command(epilog=EXAMPLES["mine"])(mine)
app.add_typer(train_app, name="train")


@app.command(epilog="Example: corpusmill status indexes/articles --json")
def status(where: Where, json_: Json = False) -> None:
    """Show stage, parts, speed, ETA, rejects and versions of a build or an index."""
    from jobs.commands import status as read_status
    from jobs.commands import status_lines

    def work() -> None:
        values = read_status(open_store(where))
        if json_:
            show_json(values)
        else:
            for line in status_lines(values):
                show(line)

    run(work)


@app.command(epilog="Example: corpusmill verify indexes/articles && echo intact")
def verify(
    where: Where,
    version: Annotated[int | None, typer.Option(help="Version to check; default: the latest.")] = None,
    plugin: Plugins = None,
    json_: Json = False,
) -> None:
    """Re-read every checksum and count of a version; name what is damaged (exit code 1)."""
    from jobs.terminal import ByteView
    from pipelines.upkeep import damaged_copies
    from pipelines.upkeep import verify as verify_version
    from retrieval.format import read_manifest

    def work() -> None:
        store = open_store(where)
        manifest = read_manifest(store, version)
        with ByteView("verify") as view:
            problems = verify_version(store, manifest, view, plugin or ())
        copies = damaged_copies(store, manifest)
        files = manifest.files()
        if json_:
            show_json({
                "version": manifest.version, "files": len(files), "intact": not problems and not copies,
                "damaged": problems, "damaged_copies": copies,
            })  # fmt: skip
        else:
            for problem in [*problems, *copies]:
                show(problem)
            if problems:
                show("Delete what is named, then run the build again: it makes just that again.")
            else:
                what = f"{len(files)} files, {manifest.passages:,} passages"
                show(f"Version {manifest.version} is intact{' in its place' if copies else ''}: {what}.")
        if problems or copies:
            raise typer.Exit(1)

    run(work)


@app.command(epilog="Example: corpusmill prune indexes/articles --dry-run")
def prune(
    where: Where,
    keep: Annotated[int, typer.Option(min=1, help="Versions to keep, counted back from the latest.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json_: Json = False,
) -> None:
    """Remove artefacts that no kept version names. A server on an older version needs --keep 2."""
    from pipelines.upkeep import prune as prune_index

    def work() -> None:
        found = prune_index(open_store(where), keep, dry_run=dry_run, say=tell)
        size = sum(found.files.values())
        if json_:
            show_json({
                "dry_run": dry_run, "kept": found.kept, "dropped": found.dropped,
                "files": list(found.files), "bytes": size,
            })  # fmt: skip
            return
        for key in found.files:
            show(key)
        verb = "would be removed" if dry_run else "removed"
        show(f"{len(found.files)} files, {size / 1e6:,.1f} MB {verb}; versions kept: {found.kept}")

    run(work)


@app.command(epilog="Example: corpusmill submit configs/billion.yaml --address http://127.0.0.1:8265")
def submit(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="Configuration file (YAML).")],
    address: Annotated[
        str | None, typer.Option(help="Ray's job server; default: RAY_API_SERVER_ADDRESS.")
    ] = None,
    shared_disk: Annotated[
        bool, typer.Option("--shared-disk", help="Local paths are fine: all nodes see this disk.")
    ] = False,
    env: Annotated[
        list[str] | None, typer.Option(help="Variable of this shell to pass on; not for secrets.")
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Run a training of CONFIG instead: dpr, colbert or rag.")
    ] = None,
    json_: Json = False,
) -> None:
    """Run a build, or a training, as a Ray job on a cluster; print how to follow and resume it."""
    from jobs.commands import submit_build, submit_training

    def work() -> None:
        if train is not None:
            job = submit_training(config, train, address, shared_disk=shared_disk, env=env or ())
        else:
            job = submit_build(config, address, shared_disk=shared_disk, env=env or ())
        steps = {"follow": job.follow, "status": job.status, "stop": job.stop, "resume": job.resume}
        if json_:
            show_json({"submission_id": job.submission_id, "address": job.address, **steps})
            return
        show(f"Submitted {job.submission_id}.")
        for name, step in steps.items():
            show(f"{name + ':':<8} {step}")

    run(work)


@app.command(epilog="Example: corpusmill doctor configs/laptop.yaml")
def doctor(
    config: Annotated[
        Path | None, typer.Argument(metavar="CONFIG", help="Configuration to check too.")
    ] = None,
    json_: Json = False,
) -> None:
    """Check Python, Ray, models, devices, storage, disk and shared memory; every failure says its fix."""
    from jobs.commands import run_checks

    def work() -> None:
        found = run_checks(load_config(config) if config else None)
        if json_:
            show_json(
                {"checks": [vars(check) for check in found], "ok": all(c.ok is not False for c in found)}
            )
        else:
            for check in found:
                mark = {True: "ok", False: "FAILED", None: "warning"}[check.ok]
                show(f"{mark:<8}{check.name}: {check.found}")
                if check.ok is not True and check.fix:
                    show(f"        fix: {check.fix}")
        if any(check.ok is False for check in found):
            raise typer.Exit(1)

    run(work)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Entry point of the command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("RAY_DEDUP_LOGS", "1")
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("CORPUSMILL_DEBUG"):
            raise
        if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
            found = missing(error.name)
            tell(f"Error: {found.message}")
            tell(found.hint)
            sys.exit(found.exit_code)
        tell(f"Error: {type(error).__name__}: {error}")
        tell("This was not foreseen. Set CORPUSMILL_DEBUG=1 for the traceback.")
        sys.exit(1)


if __name__ == "__main__":
    main()
