"""Formats of documents: a module each, whose name is the format's and whose `FORMAT` is the format.

No list names them: `pipelines.sources.registry` looks into this folder. docs/extending.md says how to
add one.
"""
