"""Evaluation: how well every stage of a search ranks, how fast it is, and which differences are real."""
