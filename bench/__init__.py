"""Measurements against the plain recipe, each in one run with it."""
