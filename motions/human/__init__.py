"""Motions of people: the clip, its readers, skeletons, writers, demo clips and fetching."""
