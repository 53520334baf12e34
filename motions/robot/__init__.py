"""Motions of robots: the reference, its file formats, editing, completion, quality, curation."""
