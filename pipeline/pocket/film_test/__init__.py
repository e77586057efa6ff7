"""The film test: 24 films of drawn pictures and prompts, blind against the first pocket and a script of warps."""
