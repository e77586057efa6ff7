"""Wan2.1 with causal few-step weights: what the networks are put together to, for a CUDA GPU."""
