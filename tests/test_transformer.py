import json
from pathlib import Path

import pytest
import torch

from pipeline.networks.rope import rotate, rotations
from pipeline.networks.transformer import CausalTransformer, TransformerConfig

CONFIG = TransformerConfig(32, 64, 2, 2, in_channels=4, out_channels=4, text_dim=8)
MANIFEST = Path(__file__).parents[2] / "shared/reference/manifests/Wan2.1-T2V-1.3B.diffusion_pytorch_model.json"


def network() -> CausalTransformer:
    torch.manual_seed(0)
    return CausalTransformer(CONFIG).eval().requires_grad_(False)


def test_parameter_names_and_shapes_are_those_of_the_published_checkpoint() -> None:
    """Wan2.1-T2V-1.3B's state dict fits this class to the key and the shape."""
    if not MANIFEST.exists():
        pytest.skip("the reference manifests are not beside this checkout: names are not compared")
    manifest = json.loads(MANIFEST.read_text())["tensors"]
    with torch.device("meta"):
        wan = CausalTransformer(TransformerConfig(1536, 8960, 12, 30, 16, 16, 4096))
    ours = {k: list(v.shape) for k, v in wan.state_dict().items()}
    assert ours == {k: v["shape"] for k, v in manifest.items()}


def test_unpatchify_undoes_patchify_order() -> None:
    """Patch values come back to the pixel they stand for, channels fastest inside a patch."""
    model = network()
    latents = torch.arange(4 * 2 * 4 * 6).float().view(1, 4, 2, 4, 6)
    patches = latents.unflatten(4, (3, 2)).unflatten(3, (2, 2)).unflatten(2, (2, 1))
    tokens = patches.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(1, 2 * 2 * 3, -1)
    assert torch.equal(model.unpatchify(tokens, (2, 2, 3)), latents)


def test_frames_through_the_cache_equal_one_pass_with_a_causal_mask_by_frame() -> None:
    """The second of two frames sees the first through its keys as it would in one longer sequence."""
    model = network()
    tokens = torch.randn(1, 12, 32)
    time = model.embed_time(torch.tensor([[0.0]]))
    cross = model.cross_keys_values(torch.randn(1, 5, 8))
    places = [rotations(torch.tensor([i]), 2, 3, 16) for i in range(2)]
    _, first = model(tokens[:, :6], time, None, cross, places[0])
    window = [(rotate(k, places[0]), v) for k, v in first]
    second, _ = model(tokens[:, 6:], time, window, cross, places[1])
    # The same keys, in the other order: attention must not care.
    swapped = [(k.flip(1), v.flip(1)) for k, v in window]
    again, _ = model(tokens[:, 6:], time, swapped, cross, places[1])
    torch.testing.assert_close(second, again, atol=1e-5, rtol=1e-5)
    alone, _ = model(tokens[:, 6:], time, None, cross, places[1])
    assert (second - alone).abs().max() > 1e-3


def test_time_and_text_reach_the_output() -> None:
    """Another timestep or another text changes what comes out."""
    model = network()
    tokens, place = torch.randn(1, 6, 32), rotations(torch.tensor([0]), 2, 3, 16)
    times = [model.embed_time(torch.tensor([[t]])) for t in (0.0, 937.5)]
    texts = [model.cross_keys_values(torch.randn(1, 5, 8)) for _ in range(2)]
    base, _ = model(tokens, times[0], None, texts[0], place)
    for time, text in ((times[1], texts[0]), (times[0], texts[1])):
        assert (model(tokens, time, None, text, place)[0] - base).abs().max() > 1e-3


def test_what_is_read_alone_is_what_a_whole_pass_keeps() -> None:
    """A pass that nobody wants an estimate of stops at its last keys and values, which are the same to the bit."""
    model = network()
    tokens, place = torch.randn(1, 6, 32), rotations(torch.tensor([0]), 2, 3, 16)
    time, cross = model.embed_time(torch.tensor([[0.0]])), model.cross_keys_values(torch.randn(1, 5, 8))
    window = [(torch.randn(1, 6, 2, 16), torch.randn(1, 6, 2, 16)) for _ in cross]
    _, kept = model(tokens, time, window, cross, place)
    alone = model.read(tokens, time, window, cross, place)
    assert len(alone) == len(kept) > 1
    assert all(torch.equal(a, b) for pairs in zip(alone, kept, strict=True) for a, b in zip(*pairs, strict=True))
