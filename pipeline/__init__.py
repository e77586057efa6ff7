"""Models that make video: networks, sampling, decoding. This package never imports aiohttp or aiortc.

Shapes, used in every docstring below this package:

====  ==========================  ====  ==========================
B     batch                       L     tokens of a sequence
T     latent frames               N     attention heads
F     pixel frames                D     width of one head
C     channels                    S     text tokens
h w   latent height and width     H W   pixel height and width
====  ==========================  ====  ==========================

Latents are ``[B, C, T, h, w]`` everywhere, pixels at the border are ``uint8 [F, H, W, 3]`` RGB.
"""
