"""How matrices are laid out for products of bytes: what packs them and what multiplies them must agree."""

from __future__ import annotations

__all__ = ["GROUP", "TILE"]

# Inputs that share a scale; outputs that are computed together.
GROUP, TILE = 96, 32
