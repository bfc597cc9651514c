"""Commands that ask an index: search, ask, serve, and keys for the service."""

from pathlib import Path
from typing import Annotated

import typer

from jobs.arguments import (
    AllowPickle,
    Json,
    Plugins,
    TrustCode,
    Where,
    generation,
    open_store,
    run,
    show_json,
)
from jobs.harmless import INDENT, BlockWriter
from jobs.terminal import out, show, tell
from retrieval.errors import ConfigError
from retrieval.generation.decodings import LINES, Decode
from retrieval.generation.kinds import KINDS
from retrieval.settings import MOST_NEIGHBOURS, Mode, Rerank

Reranker = Annotated[Rerank | None, typer.Option(help="Second stage; default: as the index says.")]
Condition = Annotated[
    str | None, typer.Option("--filter", help='Condition, such as: lang = "en" and year >= 2019')
]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", help="Address of an OpenAI-compatible endpoint, for openai.")
]
ApiKeyEnv = Annotated[
    str | None, typer.Option("--api-key-env", help="Name of the variable that holds its key.")
]

Hops = Annotated[
    int | None, typer.Option(min=1, max=6, help="Most searches in a row, for questions of several hops.")
]
Expand = Annotated[
    int | None, typer.Option(min=0, max=MOST_NEIGHBOURS, help="Passages beside one found to read with it.")
]
Diversity = Annotated[
    float | None, typer.Option(min=0, max=1, help="How far passages that repeat others come later.")
]
DateField = Annotated[
    str | None, typer.Option("--date", help="Metadata field with the date that the prompt tells.")
]


def _generators(*, engines: bool) -> str:
    """A line on each generator; engines run in the service alone."""
    return " ".join(f"{one.name}: {one.line}." for one in KINDS.values() if engines or not one.engine)


Decoding = Annotated[
    Decode | None,
    typer.Option(help=" ".join(f"{name}: {line}." for name, line in LINES.items()) + " Default: prompt."),
]
Writer = Annotated[str | None, typer.Option(help=f"{_generators(engines=False)} Default: none.")]
EXAMPLES = {
    "search": 'Example: corpusmill search indexes/articles "who wrote the origin of species" --explain',
    "ask": 'Example: corpusmill ask indexes/articles "who built the lighthouse?" --generator local',
    "serve": "Example: corpusmill serve indexes/articles --port 8000",
    "key": "Example: corpusmill key search >> keys",
}


def search(
    where: Where,
    query: Annotated[str, typer.Argument(help="The question, as plain text.")],
    k: Annotated[int, typer.Option("--k", "-k", help="Passages to return.")] = 10,
    mode: Annotated[Mode | None, typer.Option(help="First stage; default: as the index says.")] = None,
    rerank: Reranker = None,
    filter_: Condition = None,
    per_document: Annotated[
        int | None, typer.Option("--per-document", help="Most passages of one document.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show why each passage was found.")] = False,
    trust_remote_code: TrustCode = False,
    allow_pickle: AllowPickle = False,
    plugin: Plugins = None,
    json_: Json = False,
) -> None:
    """Find the passages that answer a query best."""
    from jobs.commands.search_output import as_lines
    from retrieval.search import Searcher

    def work() -> None:
        store = open_store(where)
        with Searcher.open(
            store.url, options=store.options, say=tell, trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle, plugins=plugin or (),
        ) as searcher:  # fmt: skip
            result = searcher(
                query, k, mode=mode, rerank=rerank, filter=filter_, per_document=per_document, explain=explain
            )
        if json_:
            show_json(result.as_json())
        else:
            for line in as_lines(result):
                out.print(line)

    run(work)


def ask(
    where: Where,
    question: Annotated[str, typer.Argument(help="The question, as plain text.")],
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=20, help="Passages to read.")] = 5,
    generator: Writer = None,
    model: Annotated[str | None, typer.Option(help="Folder or name of a local model.")] = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    decode: Decoding = None,
    hops: Hops = None,
    rerank: Reranker = None,
    filter_: Condition = None,
    expand: Expand = None,
    diversity: Diversity = None,
    date: DateField = None,
    trust_remote_code: TrustCode = False,
    allow_pickle: AllowPickle = False,
    plugin: Plugins = None,
    json_: Json = False,
) -> None:
    """Answer a question from an index, with citations."""
    from jobs.commands.ask import ask as ask_index
    from jobs.commands.ask import citations
    from retrieval.search import Searcher

    def work() -> None:
        context = {"expand": expand, "diversity": diversity, "date": date}
        settings = generation(
            generator, model, base_url, api_key_env, decode=decode, hops=hops, context=context
        )
        store, writer = open_store(where), _answer_writer()

        def write(delta: str) -> None:
            if not json_:
                writer.feed(delta)

        with Searcher.open(
            store.url, options=store.options, say=tell, trust_remote_code=trust_remote_code,
            allow_pickle=allow_pickle, plugins=plugin or (),
        ) as searcher:  # fmt: skip
            found = ask_index(searcher, question, settings, write, k=k, rerank=rerank, filter=filter_)
        if json_:
            show_json(found.as_json())
            return
        writer.finish()
        out.print()
        for line in citations(found):
            out.print(line)

    run(work)


def _answer_writer() -> BlockWriter:
    """What a model writes is no line of this program: it stands indented, as passages do."""
    return BlockWriter(lambda text: out.print(text, end=""), INDENT, out.width if out.is_terminal else None)


def serve(
    where: Annotated[
        str | None, typer.Argument(metavar="INDEX", help="Folder or URL; default: as the configuration says.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings of the service (YAML).")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8000,
    generator: Annotated[
        str | None, typer.Option(help=f"{_generators(engines=True)} Default: as the configuration says.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The generator's model.")] = None,
    base_url: BaseUrl = None,
    api_key_env: ApiKeyEnv = None,
    trust_remote_code: TrustCode = False,
    allow_pickle: AllowPickle = False,
    plugin: Plugins = None,
) -> None:
    """Serve an index over HTTP on this machine, with a playground at /."""
    from jobs.commands import serve as service
    from retrieval.serve import read_settings

    def work() -> None:
        index = open_store(where).url if where else None
        settings = read_settings(index, config)
        chosen = generation(generator, model, base_url, api_key_env, settings.generation)
        allowed = {"trust_remote_code": trust_remote_code, "allow_pickle": allow_pickle}
        update = {"generation": chosen, **{name: True for name, yes in allowed.items() if yes}}
        update["plugins"] = (*settings.plugins, *(plugin or ()))
        settings = settings.model_copy(update=update)
        with service.running(settings, host, port, tell) as address:
            if told := service.refusal(address):
                tell(told)
            service.wait(show, address)

    run(work)


def key(
    role: Annotated[str, typer.Argument(help="search or admin.")],
) -> None:
    """Make an API key: the key on standard error, once; the line for the keys file on standard output."""
    from retrieval.serve.http import hashed_key, new_key

    def work() -> None:
        if role not in ("search", "admin"):
            raise ConfigError(
                f"there is no role {role!r}", hint="corpusmill key search, or: corpusmill key admin"
            )
        made = new_key()
        tell(f"The key, which is kept nowhere else: {made}")
        show(f"{role} {hashed_key(made)}")

    run(work)
