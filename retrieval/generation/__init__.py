"""Grounded answers: support by the passages, prompt, generator, checked citations."""
