"""The recipe of pocket, the small model that comes with vivant: its pictures, prompts, clips and training."""
