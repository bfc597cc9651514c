"""Packages outside of ours that offer plug-ins."""
