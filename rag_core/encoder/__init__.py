"""Sentence encoders over products of bytes, for CPUs that have instructions for them."""
