"""What a server tells of itself: the body of ``GET /capabilities``, which ``welcome`` carries too."""

from typing import Any, get_args

from pipeline.types import Capabilities, VideoFormat
from stream.config import StreamConfig
from stream.destination import WEB_SCHEMES
from stream.encoder import Codec
from stream.mux import muxable_schemes
from stream.protocol import PROTOCOL


def describe(
    model: Capabilities, video: VideoFormat, config: StreamConfig, version: str, is_resumable: bool = False
) -> dict[str, Any]:
    """Give the capabilities of a server that runs this model under this configuration, as JSON values."""
    fps = video.fps
    return {
        "version": version,
        "protocol": PROTOCOL,
        "model": model.model,
        "sizes": [list(size) for size in model.sizes],
        "fps": int(fps) if fps.denominator == 1 else float(fps),
        "modes": list(model.modes),
        "image_entry": model.image_entry,
        "needs": model.needs,
        "policies": list(model.policies),
        "picture_policies": list(model.picture_policies),
        "publish": [*WEB_SCHEMES, *muxable_schemes()],
        "codecs": sorted(get_args(Codec)),
        "limits": {
            "prompt_chars": config.prompt_chars,
            "image_bytes": config.image_bytes,
            "image_pixels": config.image_pixels,
            "streams": min(config.max_streams, model.max_streams),
            "recording_s": config.recording_s if config.recordings else 0,
            "bookmarks": config.bookmarks if is_resumable else 0,
        },
        "examples": list(model.examples),
        "scenes": list(model.scenes),
    }
