"""Hypothesis draws the same examples in every run, and a slow machine is no failure."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")
