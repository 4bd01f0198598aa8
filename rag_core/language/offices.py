"""Offices that are written by their letters."""

from __future__ import annotations

__all__ = ["OFFICES"]

OFFICES = {
    "CEO": "chief executive officer",
    "CFO": "chief financial officer",
    "COO": "chief operating officer",
    "CTO": "chief technology officer",
    "CIO": "chief information officer",
    "CRO": "chief risk officer",
}
