"""Pickles, joblib and PyTorch archives of others, read as plain data.

A pickle is a program. The one interpreter here (`machine`) runs the opcodes that files of motions
need and builds None, booleans, numbers, texts, bytes, lists, tuples, sets, dictionaries and numpy
arrays; Python's own `pickle` is not involved, nothing that a file names is imported, and every
unknown name is refused. What is built is held against `mimic_base.limits` (depth, number of values,
size in memory with shared parts counted as often as they are used).
"""

from mimic_base.pickle_data.load import is_torch_archive, load_pickle, load_torch

__all__ = ["is_torch_archive", "load_pickle", "load_torch"]
