"""Builds that are killed, and what must hold after it."""
