"""Measurements behind the claims of `train/README.md`; each is a command that anyone with a GPU can run."""
