"""How fast a pipeline is here, and how near to what this device could do: ``python -m pipeline.bench CONFIG``."""
