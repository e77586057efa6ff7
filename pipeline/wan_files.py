"""The files that the Wan models are made of: where they are published, how large, with which hash, under which licence.

Plain data, and plain questions about a folder; nothing here reaches the network (``pipeline.download`` does). Sizes and
hashes are as several public projects read them from the hub; what only one of them states is not ``confirmed``.
"""

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline.errors import ConfigError, WeightsError

Part = Literal["transformer", "text_encoder", "tokenizer", "vae", "taehv", "image_encoder"]
Vae = Literal["wan", "taehv", "both"]


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence by its usual short name, and what it means for whoever uses the weights."""

    name: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Repo:
    """Where files are published, held at one revision, so that they can't change behind their names."""

    name: str
    revision: str
    licence: Licence
    site: Literal["huggingface.co", "github.com"] = "huggingface.co"


@dataclass(frozen=True, slots=True)
class File:
    """One published file. ``confirmed``: size and hash were found alike in independent places."""

    repo: Repo
    name: str
    part: Part
    size_bytes: int
    sha256: str
    confirmed: bool = True

    @property
    def path(self) -> PurePosixPath:
        """Where the file lies below the folder of all weights."""
        return PurePosixPath(self.repo.name) / self.name


@dataclass(frozen=True, slots=True)
class Model:
    """What a name such as ``wan_1_3b`` stands for; ``title`` is a sentence for people."""

    name: str
    title: str
    files: tuple[File, ...]


APACHE = Licence("Apache-2.0", "free for every use, commercial use too; whoever passes them on passes the licence on.")
MIT = Licence("MIT", "free for every use, commercial use too; whoever passes them on keeps the notice.")
NON_COMMERCIAL = Licence(
    "CC BY-NC-SA 4.0",
    "NOT for commercial use, which is any use meant mainly for money or commercial advantage: a paid product or "
    "service, work for a client, advertising. The authors must be named, and what is derived from the weights comes "
    "under the same licence. For commercial use take wan_1_3b_framewise, whose weights are Apache-2.0.",
)

T2V_1_3B = Repo("Wan-AI/Wan2.1-T2V-1.3B", "37ec512624d61f7aa208f7ea8140a131f93afc9a", APACHE)
T2V_14B = Repo("Wan-AI/Wan2.1-T2V-14B", "a064a6c71f5be440641209c07bf2a5ce7a2ff5e4", APACHE)
I2V_14B = Repo("Wan-AI/Wan2.1-I2V-14B-480P", "6b73f84e66371cdfe870c72acd6826e1d61cf279", APACHE)
# The code of Self Forcing is Apache-2.0; the model card of its weights says otherwise, and holds for them.
SELF_FORCING = Repo("gdhe17/Self-Forcing", "2f8b779212da279d212c22a509b66ad6552f350e", NON_COMMERCIAL)
CAUSAL_FORCING = Repo("zhuhz22/Causal-Forcing", "2f8eb8bb6eeb1238da9d13e5420d342a74d634a6", APACHE)
# The author publishes on GitHub alone. Copies on the hub are other people's, and one of them differs.
TAEHV = Repo("madebyollin/taehv", "0ad83bb8fdc48e9e94138704e939d500a3b43660", MIT, "github.com")

# Every Wan2.1 repository holds these same bytes: taken from one place, they lie on the disk once.
TEXT = (
    File(
        T2V_1_3B,
        "models_t5_umt5-xxl-enc-bf16.pth",
        "text_encoder",
        11_361_920_418,
        "7cace0da2b446bbbbc57d031ab6cf163a3d59b366da94e5afe36745b746fd81d",
    ),
    File(
        T2V_1_3B,
        "google/umt5-xxl/tokenizer.json",
        "tokenizer",
        16_837_417,
        "6e197b4d3dbd71da14b4eb255f4fa91c9c1f2068b20a2de2472967ca3d22602b",
    ),
)
WAN_VAE = File(
    T2V_1_3B,
    "Wan2.1_VAE.pth",
    "vae",
    507_609_880,
    "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981",
)
TINY_VAE = File(
    TAEHV,
    "safetensors/taew2_1.safetensors",
    "taehv",
    22_642_902,
    "04766eac0221b5390b985ae3fdcca652cbb4b1e8b82b28ea7ff89dfad1b1a93f",
)
CLIP = File(
    I2V_14B,
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "image_encoder",
    4_772_359_047,
    "628c9998b613391f193eb67ff68da9667d75f492911e4eb3decf23460a158c38",
)
COMMON = (*TEXT, WAN_VAE, TINY_VAE)


def _shards(repo: Repo, published: tuple[tuple[int, str], ...]) -> tuple[File, ...]:
    names = (f"diffusion_pytorch_model-{i:05}-of-{len(published):05}.safetensors" for i in range(1, len(published) + 1))
    return tuple(
        File(repo, name, "transformer", size_bytes, sha256, confirmed=False)
        for name, (size_bytes, sha256) in zip(names, published, strict=True)
    )


# These checkpoints hold the whole transformer: the one of Wan2.1-T2V-1.3B, 5.7 GB, is not needed beside them.
SELF_FORCING_DMD = File(
    SELF_FORCING,
    "checkpoints/self_forcing_dmd.pt",
    "transformer",
    5_676_252_553,
    "a0413986d9734e02c09504e1520f5697ba6df731bb2f0f35577485e9cc8f56a3",
)
CAUSAL_FORCING_CHUNKWISE = File(
    CAUSAL_FORCING,
    "chunkwise/causal_forcing.pt",
    "transformer",
    5_676_282_643,
    "cf75ee5cc6f4e2e336c59c973f5544655d8f0aa481761efe6de1b9cb2eb0cd9d",
)
CAUSAL_FORCING_FRAMEWISE = File(
    CAUSAL_FORCING,
    "framewise/causal_forcing.pt",
    "transformer",
    5_676_220_819,
    "70cae8c3b0b7191fa9840b4f6fe8655ba0cf5c6520c87ba85a46b861c3735cd3",
    confirmed=False,
)
T2V_14B_SHARDS = _shards(
    T2V_14B,
    (
        (9_887_603_256, "569d54a07279b89f8281421fccf27ee2459ea853ce6845d3536b8664b0070078"),
        (9_839_059_648, "b17ff172f262b4da91c31e8c46d3b7707f62cecfff6e18dd0072ab29eb350e46"),
        (9_839_059_744, "741fd1508cd0288f0bb0f4fb3df6734da521d5ff23746170c848564a367e2cea"),
        (9_839_059_744, "47b08ba289b127fc64979bc877ee07e1c87aeb8eb8cd47bcfd112682847981ba"),
        (9_839_059_744, "29e35f4cf0e3a61f4726c960f1babf71d65677a8c99fe704257d665c9498ee88"),
        (7_910_235_256, "91ac087a40b814331e87f5f015af11ba999275d48d2af49591b6bf7727d3c146"),
    ),
)
I2V_14B_SHARDS = _shards(
    I2V_14B,
    (
        (9_847_223_624, "09c0170242cfe9598208724585196ca18f294928fe25971149e1d7b37b3b51d6"),
        (9_797_021_016, "9e9dd8069241f0cbfe8f269e784e915ddaa7f177272b9850ae88c494d418c181"),
        (9_797_041_744, "22af36eb620c381d57a2dd5d5e3a001bf90ba0ca32f2d5013d6ca45225b11d5f"),
        (9_692_142_864, "5c2be0421b8df4a8e7dd31cdbb6489567438ae14b812b57518e43c6f4e49a755"),
        (9_692_142_864, "0ba7f3ab69f414f23e5566e607b9385a8f67907302cbaaf86507b3a826a20dda"),
        (9_692_142_864, "d7287e9233cbf67a75fce8ef8be24232ec93d6336f148972465db00008d69e28"),
        (7_061_933_536, "d1bc30f07b162c34b90e4ee4a349f81b6e1a3a342187ea9ea153c9e4dbb07676"),
    ),
)

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model("wan_1_3b", "Wan2.1 1.3B with Self-Forcing's weights, chunk by chunk", (SELF_FORCING_DMD, *COMMON)),
        Model(
            "wan_1_3b_chunkwise",
            "Wan2.1 1.3B with Causal-Forcing's chunk-wise weights",
            (CAUSAL_FORCING_CHUNKWISE, *COMMON),
        ),
        Model(
            "wan_1_3b_framewise",
            "Wan2.1 1.3B with Causal-Forcing's frame-wise weights, the ones made to start from a picture",
            (CAUSAL_FORCING_FRAMEWISE, *COMMON),
        ),
        Model("wan_t2v_14b", "Wan2.1 T2V 14B, text to video", (*T2V_14B_SHARDS, *COMMON)),
        Model("wan_i2v_14b", "Wan2.1 I2V 14B 480P, picture to video", (*I2V_14B_SHARDS, CLIP, *COMMON)),
    )
}
ALIASES: Mapping[str, str] = {"wan": "wan_1_3b"}


def choose(name: str) -> Model:
    """Give the model of this name; ``wan`` is short for ``wan_1_3b``. Raises ConfigError for an unknown one."""
    model = MODELS.get(ALIASES.get(name, name))
    if model is None:
        raise ConfigError(f"there is no model {name!r}; the models are {', '.join([*ALIASES, *MODELS])}")
    return model


def weights_folder(named: str = "") -> Path:
    """Give the folder of all weights: the named one, else ``$VIVANT_WEIGHTS``, else ``~/.cache/vivant/weights``."""
    return Path(named or os.environ.get("VIVANT_WEIGHTS") or "~/.cache/vivant/weights").expanduser()


def files(model: str, vae: Vae = "both") -> tuple[File, ...]:
    """Give the files of a model, with the VAEs that are asked for. Raises ConfigError for an unknown model."""
    without = {"wan": "taehv", "taehv": "vae", "both": ""}[vae]
    return tuple(file for file in choose(model).files if file.part != without)


def missing(model: str, folder: Path, vae: Vae = "both") -> list[File]:
    """Give the files of a model that are not in the folder, or not in their full size. Raises ConfigError."""
    return [file for file in files(model, vae) if not _is_whole(folder / file.path, file.size_bytes)]


def locate(model: str, folder: Path, vae: Vae = "both") -> dict[Part, Path]:
    """Find every part of a model in the folder.

    A transformer of several files is given by its first one, and :func:`shards` of that gives all. Raises
    WeightsError if a file is missing, with the command that fetches it; ConfigError for an unknown model.
    """
    model = choose(model).name
    lacking = missing(model, folder, vae)
    if lacking:
        others = f", nor are {len(lacking) - 1} other files of {model}" if len(lacking) > 1 else ""
        to_fetch = f"to fetch what is missing: {command(model, folder, vae)}"
        raise WeightsError(f"{lacking[0].path} is not in {folder}{others}; {to_fetch}")
    found: dict[Part, Path] = {}
    for file in files(model, vae):
        found.setdefault(file.part, folder / file.path)
    return found


def command(model: str, folder: Path, vae: Vae = "both") -> str:
    """Write the command line that fetches a model."""
    words = ["python", "-m", "pipeline.download", "--model", model]
    if folder != weights_folder():
        words += ["--folder", str(folder)]
    if vae != "both":
        words += ["--vae", vae]
    return shlex.join(words)


def shards(first: Path) -> list[Path]:
    """Give all files of a checkpoint from its first one.

    >>> [path.name for path in shards(Path("m-00001-of-00002.safetensors"))]
    ['m-00001-of-00002.safetensors', 'm-00002-of-00002.safetensors']
    >>> shards(Path("whole.pt"))
    [PosixPath('whole.pt')]
    """
    match = re.fullmatch(r"(.*-)00001-of-(\d{5})(\..*)", first.name)
    if match is None:
        return [first]
    stem, count, suffix = match.groups()
    return [first.with_name(f"{stem}{i:05}-of-{count}{suffix}") for i in range(1, int(count) + 1)]


def readable(size_bytes: int) -> str:
    """Write a size as the hub does, in powers of 1000.

    >>> readable(5_676_252_553), readable(61_728), readable(249)
    ('5.68 GB', '61.73 kB', '249 B')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.2f} {unit}"
    return f"{size_bytes} B"


def _is_whole(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes
