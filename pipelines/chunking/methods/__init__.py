"""Chunking methods: a module each, whose name is the method's and whose `METHOD` is the method.

No list names them: `pipelines.chunking.registry` looks into this folder. docs/extending.md says how to
add one.
"""
