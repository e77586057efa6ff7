"""Our networks against the reference's own inputs and outputs: ``python -m pipeline.parity FOLDER``."""
