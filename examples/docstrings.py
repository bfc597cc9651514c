"""Writes a real corpus: documentation of the Python packages in this environment, one JSON line each.

    python examples/docstrings.py OUT.jsonl [--max-documents 20000] [--min-chars 80]

Sources are read, not imported, and a name is written as a user imports it: numpy.linalg.lstsq, not
numpy.linalg._linalg.lstsq. A few modules whose documentation is made at import (compiled functions,
inherited methods) are imported. The same environment gives the same file.
"""

import argparse
import ast
import importlib
import importlib.util
import inspect
import itertools
import json
import os
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

STDLIB = "python"
MAIN = f"{STDLIB} numpy pandas scipy sklearn pyarrow torch ray sentence_transformers faiss".split()
OTHERS = "transformers pydantic fsspec networkx sympy fastapi huggingface_hub typer jinja2 requests".split()
MAIN_WEIGHT = 3  # a main package may give three times as many documents as another
IMPORTED = {
    STDLIB: "builtins math itertools functools time os sys struct zlib",
    "numpy": "numpy numpy.linalg numpy.fft numpy.random",
    "pandas": "pandas",
    "pyarrow": "pyarrow pyarrow.compute pyarrow.csv pyarrow.dataset pyarrow.fs pyarrow.parquet",
    "scipy": "scipy.special",
    "torch": "torch torch.linalg torch.special torch.fft",
}
SKIPPED = set(  # tests, vendored and internal code, duplicates
    "tests test testing conftest benchmarks examples _vendor vendored thirdparty_files externals internal "
    "internals site-packages lib2to3 idlelib turtledemo ensurepip matlib f2py v1 models llm rllib".split()
)


Definition = list[tuple[str, str, str]]  # (what follows the name, kind, docstring): itself, then its methods


@dataclass
class Module:
    """What one source file defines and re-exports."""

    doc: str = ""
    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    exported: list[str] | None = None
    is_package: bool = False


@dataclass(frozen=True, order=True)
class Document:
    """One line of the corpus. `rank` orders a package's documents, the most public first."""

    rank: tuple[int, bool, int, str]
    name: str
    kind: str
    text: str


def public(name: str) -> bool:
    """Whether no component of a dotted name starts with an underscore."""
    return not any(part.startswith("_") for part in name.split("."))


def parse_module(path: Path, name: str) -> Module:
    """Definitions and imports of a source file; one that does not parse is empty."""
    module = Module(is_package=path.name == "__init__.py")
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return module
    module.doc = ast.get_docstring(tree) or ""
    parent = name if module.is_package else name.rpartition(".")[0]
    for node in top_level(tree.body):
        match node:
            case ast.ClassDef():
                module.definitions.setdefault(node.name, class_definition(node))
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                known = module.definitions.get(node.name)
                if known is None or not known[0][2]:  # overloads come first and have no docstring
                    module.definitions[node.name] = [("", "function", ast.get_docstring(node) or "")]
            case ast.ImportFrom():
                add_import(module, node, parent)
            case ast.Assign() | ast.AugAssign():
                add_exported(module, node)
    return module


def top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module, those inside `if` and `try` included (version switches, lazy imports)."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from top_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try):
            yield from top_level([*node.body, *node.orelse, *(s for h in node.handlers for s in h.body)])


def class_definition(node: ast.ClassDef) -> Definition:
    """A class with its public methods."""
    found = [("", "class", ast.get_docstring(node) or "")]
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and public(item.name):
            found.append((f".{item.name}", "method", ast.get_docstring(item) or ""))
    return found


def add_import(module: Module, node: ast.ImportFrom, parent: str) -> None:
    """Remember `from source import name`, relative sources made absolute."""
    source = node.module or ""
    if node.level:
        base = parent.split(".")[: len(parent.split(".")) - node.level + 1]
        source = ".".join([*base, source] if source else base)
    for alias in node.names:
        if alias.name == "*":
            module.stars.append(source)
        else:
            module.imports[alias.asname or alias.name] = (source, alias.name)


def add_exported(module: Module, node: ast.Assign | ast.AugAssign) -> None:
    """Follow `__all__ = [...]` and `__all__ += [...]` where they are literal."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if not any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
        return
    if isinstance(node.value, ast.List | ast.Tuple):
        names = [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
        module.exported = [*(module.exported or []), *(name for name in names if isinstance(name, str))]


class Sources:
    """The source files of one package, parsed when they are needed."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.parsed: dict[str, Module] = {}

    def module(self, name: str) -> Module | None:
        if name not in self.parsed and name in self.files:
            self.parsed[name] = parse_module(self.files[name], name)
        return self.parsed.get(name)

    def names(self, module_name: str, seen: frozenset[str] = frozenset()) -> list[str]:
        """Public names that a module offers, re-exports of a package included."""
        module = self.module(module_name)
        if module is None or module_name in seen:
            return []
        if module.exported is not None:
            return module.exported
        found = [*module.definitions, *(module.imports if module.is_package else ())]
        for star in module.stars:
            found += self.names(star, seen | {module_name})
        return [name for name in found if public(name)]

    def resolve(self, module_name: str, name: str, depth: int = 0) -> tuple[str, Definition] | None:
        """Where a name is defined, following imports; None if it is not from this package."""
        module = self.module(module_name)
        if module is None or depth > 12:
            return None
        if definition := module.definitions.get(name):
            return f"{module_name}.{name}", definition
        if name in module.imports:
            return self.resolve(*module.imports[name], depth + 1)
        for star in module.stars:
            if name in self.names(star) and (found := self.resolve(star, name, depth + 1)):
                return found
        return None

    def documents(self) -> Iterator[Document]:
        """Every documented public name, under its shortest public path."""
        paths: dict[str, str] = {}
        origins: dict[str, Definition] = {}
        for module_name in [name for name in self.files if public(name)]:
            for name in self.names(module_name):
                found = self.resolve(module_name, name) if public(name) else None
                if found:
                    origin, origins[found[0]] = found
                    path = f"{module_name}.{name}"
                    best = paths.get(origin, path)
                    paths[origin] = min(best, path, key=lambda text: (text.count("."), len(text), text))
            module = self.module(module_name)
            if module and module.doc:
                yield document(module_name, "module", module.doc)
        for origin, definition in origins.items():
            parent = self.module(paths[origin].rpartition(".")[0])
            for suffix, kind, doc in definition:
                yield document(paths[origin] + suffix, kind, doc, parent is not None and parent.is_package)


def document(name: str, kind: str, doc: object, in_package: bool = True) -> Document:
    """A document ranked by depth; what a package itself exports (torch.optim.Adam) counts as nearer."""
    rank = (name.count(".") - in_package, kind == "method", len(name), name)
    return Document(rank, name, kind, inspect.cleandoc(doc).strip() if isinstance(doc, str) else "")


def imported_documents(module_name: str) -> Iterator[Document]:
    """Documentation that exists only after import: compiled functions and inherited methods."""
    with warnings.catch_warnings(action="ignore"):
        module = importlib.import_module(module_name)
        prefix = "" if module_name == "builtins" else f"{module_name}."
        for name in getattr(module, "__all__", None) or dir(module):
            value = getattr(module, name, None)
            if not public(name) or isinstance(value, types.ModuleType) or not callable(value):
                continue
            kind = "class" if isinstance(value, type) else "function"
            yield document(f"{prefix}{name}", kind, value.__doc__)
            for member in filter(public, dir(value)) if isinstance(value, type) else ():
                owner = next((base for base in value.__mro__ if member in vars(base)), value)
                if owner is value or getattr(module, owner.__name__, None) is not owner:  # else told there
                    doc = getattr(getattr(value, member, None), "__doc__", None)
                    yield document(f"{prefix}{name}.{member}", "method", doc)


def source_files(package: str) -> dict[str, Path]:
    """Dotted module names of a package, in order, with their files; empty if it is not installed."""
    if package == STDLIB:
        root = Path(sysconfig.get_path("stdlib"))
        tops = [root / name for name in sorted(sys.stdlib_module_names) if public(name)]
        tops = [top for top in tops if top.is_dir()] + [top.with_suffix(".py") for top in tops]
    else:
        spec = importlib.util.find_spec(package)  # finds a top-level package without importing it
        if spec is None or spec.origin is None:
            return {}
        tops = [Path(spec.origin).parent]
        root = tops[0].parent
    found = {}
    for top in tops:
        for path in sorted(top.rglob("*.py")) if top.is_dir() else filter(Path.is_file, [top]):
            parts = path.relative_to(root).with_suffix("").parts
            if not SKIPPED.intersection(parts):
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def package_documents(package: str, min_chars: int) -> list[Document]:
    """Documents of a package, the most public first, no name and no text twice."""
    files = source_files(package)
    found: dict[str, Document] = {}
    imported = [imported_documents(name) for name in IMPORTED.get(package, "").split()] if files else []
    for item in itertools.chain(*imported, Sources(files).documents()):
        found.setdefault(item.name, item)
    kept: dict[str, Document] = {}
    for item in sorted(found.values()):
        if len(item.text) >= min_chars:
            kept.setdefault(item.text, item)
    return list(kept.values())


def fair_shares(available: list[int], weights: list[int], total: int) -> list[int]:
    """Split `total` by weight; what a small package does not use goes to the larger ones."""
    shares = [0] * len(available)
    weight_left = sum(weights)
    for i in sorted(range(len(available)), key=lambda i: (available[i] / weights[i], i)):
        shares[i] = min(available[i], total * weights[i] // weight_left)
        total -= shares[i]
        weight_left -= weights[i]
    return shares


def main() -> None:
    """Collect, share out, write, and say how many documents each package gave."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="file to write")
    parser.add_argument("--max-documents", type=int, default=20_000)
    parser.add_argument("--min-chars", type=int, default=80, help="shorter docstrings are left out")
    options = parser.parse_args()
    packages = MAIN + OTHERS
    documents = [package_documents(package, options.min_chars) for package in packages]
    weights = [MAIN_WEIGHT if package in MAIN else 1 for package in packages]
    shares = fair_shares([len(found) for found in documents], weights, options.max_documents)
    lines: dict[str, str] = {}
    for package, found, share in zip(packages, documents, shares, strict=True):
        for item in found[:share]:
            record = {"id": item.name, "title": item.name, "text": item.text}
            record |= {"package": package, "kind": item.kind}
            lines.setdefault(item.name, json.dumps(record, ensure_ascii=False))
        if share:
            print(f"{package:24}{share:7,} of {len(found):,}")
    data = "".join(f"{line}\n" for line in lines.values()).encode("utf-8", "replace")
    if changed := not options.out.is_file() or options.out.read_bytes() != data:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        temporary = options.out.with_name(f".{options.out.name}.{os.getpid()}")
        temporary.write_bytes(data)
        temporary.replace(options.out)
    state = "wrote" if changed else "unchanged:"
    print(f"{state} {options.out}: {len(lines):,} documents, {len(data) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
