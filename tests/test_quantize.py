import torch
from torch import nn

from pipeline.quantize import StoredLinear, store_in_fp8
from tests.wan_parts import asked, parts, pipeline


def test_eight_bits_keep_a_weight_to_a_sixteenth() -> None:
    """Every weight comes back within the format's relative step, whatever the size of its row."""
    torch.manual_seed(0)
    linear = nn.Linear(64, 32)
    with torch.no_grad():
        linear.weight *= torch.logspace(-4, 4, 32)[:, None]
    stored = StoredLinear(linear)
    again = stored.weight.float() * stored.scale
    largest = linear.weight.abs().amax(1, keepdim=True)
    off = (again - linear.weight).abs() / torch.maximum(linear.weight.abs(), largest / 64)
    assert off.max() <= 1 / 16
    assert off.max() > 1 / 64


def test_a_stored_layer_multiplies_in_the_inputs_dtype() -> None:
    """What comes out has the input's dtype and is near the layer's own."""
    torch.manual_seed(0)
    linear = nn.Linear(64, 32)
    x = torch.randn(5, 64)
    for dtype in (torch.float32, torch.bfloat16):
        made = StoredLinear(linear.to(dtype))(x.to(dtype))
        assert made.dtype == dtype
        wide = linear.float()(x)
        assert (made.float() - wide).norm() / wide.norm() < 0.05


def test_only_large_layers_are_stored() -> None:
    """What conditions the large layers keeps its precision; what is stored takes a byte a weight."""
    module = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(32, 32), nn.ReLU()))
    store_in_fp8(module, smallest=1024)
    assert isinstance(module[0], nn.Linear)
    stored = module.get_submodule("1.0")
    assert isinstance(stored, StoredLinear)
    assert stored.weight.element_size() == 1


def test_a_transformer_runs_with_stored_layers() -> None:
    """The pipeline makes frames with every large layer in eight bits, and other ones than before."""
    model = pipeline()
    before = model.generate_chunk(model.open(asked()), asked()).frames
    parts.cache_clear()
    store_in_fp8(parts("first_latent", "tiny").transformer, smallest=1024)
    model = pipeline()
    after = model.generate_chunk(model.open(asked()), asked()).frames
    parts.cache_clear()
    assert after.shape == before.shape
    assert (after != before).any()
