"""Builds the sample files that are not written by hand: `python -m sample_files.build`."""
