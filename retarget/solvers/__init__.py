"""Solvers: a whole clip as one problem, or frame by frame."""
