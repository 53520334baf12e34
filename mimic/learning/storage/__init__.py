"""Memories of what environments have done."""
