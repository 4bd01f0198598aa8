"""Llama-type models on one NVIDIA card, for many chats at once.

`loading` and `weights` bring the weights there; `plain` and `fused` with `kernels` compute the operations, `model` the
forward pass over slots; `passes` records and launches it; `schedule` says for which of the `requests`; `engine` is what
the rest calls.
"""
