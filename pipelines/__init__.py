"""Dataflows on Ray that make an index: from files to a committed version."""
