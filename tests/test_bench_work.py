from collections import Counter
from dataclasses import replace

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipeline.bench.work import Attention, Product, Sight, flops, large, one_pass, seconds_at, sight
from pipeline.config import ModelConfig, WanConfig
from pipeline.networks.transformer import CausalTransformer
from pipeline.schedule import FlowSchedule
from pipeline.wan.decision import decide
from pipeline.wan.sampler import Guide, Sampler
from pipeline.wan.sizes import SIZES
from pipeline.wan.window import WindowCache, WindowShape
from tests.wan_parts import CONFIG, embed, on_meta, see

SEES = Sight(latents=2, window=6, tokens=8, text_tokens=6)


def counted(image_tokens: int = 0) -> int:
    """What PyTorch counts for one pass over a full window."""
    config = replace(CONFIG, in_channels=36, image_dim=5) if image_tokens else CONFIG
    network = on_meta(lambda: CausalTransformer(config))
    cache = WindowCache(config, WindowShape(6, 1, (2, 4)))
    nothing = torch.zeros(1, 20 * cache.shape.tokens, config.num_heads, config.head_dim)
    cache.append([(nothing, nothing)] * config.num_layers, 20)
    seen = cache.see(2, "relative")
    features = see(torch.zeros(1, 3, 8, 8)) if image_tokens else None
    beside = torch.zeros(1, 20, 2, 4, 8) if image_tokens else None
    with torch.inference_mode():
        guide = Guide(network.cross_keys_values(embed("snow falls"), features), beside)
        noise, at = torch.randn(1, 16, 2, 4, 8), torch.full((1, 2), 500.0)
        # The counter knows no flash attention of a CPU: products it knows.
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            Sampler(network, FlowSchedule(5.0), (1000.0,)).flow(noise, at, guide, seen)
    return counter.get_total_flops()


def test_a_pass_is_what_pytorch_counts() -> None:
    """The arithmetic of a pass follows from the configuration to the last operation, with a picture beside too."""
    assert flops(one_pass(CONFIG, SEES)) == counted()
    sees_image = replace(CONFIG, in_channels=36, image_dim=5)
    assert flops(one_pass(sees_image, replace(SEES, image_tokens=4))) == counted(image_tokens=4)


def test_a_published_chunk_is_what_was_worked_out_by_hand() -> None:
    """1.3B at 480x832: 202 TFLOP a chunk of five passes with 21 latents in sight, 141 with 12."""
    decision = decide(ModelConfig(kind="wan", latents_per_chunk=3, weights="random"), WanConfig(device="cpu"))
    sees = sight(decision)
    assert sees == Sight(3, 12, 1560, 512)
    whole = [5 * flops(one_pass(SIZES["1.3b"], replace(sees, window=window))) / 1e12 for window in (12, 21)]
    assert [round(tera) for tera in whole] == [141, 202]
    # q, k, v; three of the width; feed-forward; both attentions.
    assert len(large(one_pass(SIZES["1.3b"], sees))) == 6


def test_time_is_added_up_by_each_operations_own_rate() -> None:
    """What is slow for its size weighs more."""
    work = Counter({Product(10, 10, 10): 2, Attention(10, 10, 1, 10): 1})
    assert seconds_at(work, lambda operation: 1000.0 if isinstance(operation, Product) else 100.0) == 4.0 + 40.0
