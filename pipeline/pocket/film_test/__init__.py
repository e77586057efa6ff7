"""The film test: 24 short films of drawn pictures and prompts, against the first pocket and a script of warps, blind."""
