import itertools

import torch

from pipeline.schedule import noise, renoise, sigmas


def test_noise_is_keyed_by_seed_latent_and_step_alone() -> None:
    """The same key gives the same bytes whatever was drawn before; any other key gives others."""
    first = noise(1, 2, 0, (1, 3))
    torch.randn(100)
    assert torch.equal(first, noise(1, 2, 0, (1, 3)))
    others = [noise(2, 2, 0, (1, 3)), noise(1, 3, 0, (1, 3)), noise(1, 2, 1, (1, 3)), noise(12, 0, 0, (1, 3))]
    assert all(not torch.equal(first, other) for other in others)


def test_noise_is_standard_normal() -> None:
    """Mean 0 and deviation 1 over many latents."""
    drawn = torch.cat([noise(0, i, 0, (1000,)) for i in range(20)])
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1) < 0.03


def test_sampling_begins_at_pure_noise_and_falls() -> None:
    """Every ladder begins at 1 and strictly falls, shifted or not."""
    for steps in (1, 2, 4, 8):
        for shift in (1.0, 5.0):
            levels = sigmas(steps, shift)
            assert levels[0] == 1.0
            assert all(a > b > 0 for a, b in itertools.pairwise(levels))


def test_renoise_meets_its_ends() -> None:
    """Level 0 is the clean latent, level 1 the noise."""
    clean, fresh = torch.ones(3), torch.zeros(3)
    assert torch.equal(renoise(clean, fresh, 0.0), clean)
    assert torch.equal(renoise(clean, fresh, 1.0), fresh)
