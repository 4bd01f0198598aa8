"""Texts to vectors: the embedder, a lean forward pass on torch, and one over products of bytes where the CPU has them."""
