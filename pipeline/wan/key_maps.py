"""Names of one network's parameters in the layouts that its checkpoints come in."""

# Longest first where one holds another.
_DIFFUSERS = (
    ("self_attn.norm_", "attn1.norm_"),
    ("self_attn.o.", "attn1.to_out.0."),
    ("self_attn.", "attn1.to_"),
    ("cross_attn.k_img.", "attn2.add_k_proj."),
    ("cross_attn.v_img.", "attn2.add_v_proj."),
    ("cross_attn.norm_k_img.", "attn2.norm_added_k."),
    ("cross_attn.norm_", "attn2.norm_"),
    ("cross_attn.o.", "attn2.to_out.0."),
    ("cross_attn.", "attn2.to_"),
    ("ffn.0.", "ffn.net.0.proj."),
    ("ffn.2.", "ffn.net.2."),
    ("norm3.", "norm2."),
    ("head.head.", "proj_out."),
    ("head.modulation", "scale_shift_table"),
    ("modulation", "scale_shift_table"),
    ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
    ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
    ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
    ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
    ("time_projection.1.", "condition_embedder.time_proj."),
    ("img_emb.proj.0.", "condition_embedder.image_embedder.norm1."),
    ("img_emb.proj.1.", "condition_embedder.image_embedder.ff.net.0.proj."),
    ("img_emb.proj.3.", "condition_embedder.image_embedder.ff.net.2."),
    ("img_emb.proj.4.", "condition_embedder.image_embedder.norm2."),
)


def to_diffusers(key: str) -> str:
    """Name a transformer's parameter as diffusers' WanTransformer3DModel does.

    >>> to_diffusers("blocks.3.self_attn.o.weight"), to_diffusers("head.modulation")
    ('blocks.3.attn1.to_out.0.weight', 'scale_shift_table')
    """
    block = ""
    if key.startswith("blocks."):
        _, number, key = key.split(".", 2)
        block = f"blocks.{number}."
    for ours, theirs in _DIFFUSERS:
        if key.startswith(ours):
            return block + theirs + key.removeprefix(ours)
    return block + key
