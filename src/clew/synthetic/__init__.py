"""Synthetic electron microscopy with truth."""
