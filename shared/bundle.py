"""Model bundles: a folder whose every byte is vouched for by its manifest. Nothing outside the manifest is ever loaded.

<store>/<model>/<version>/           a domain's model
<store>/encoders/<digest>/           an encoder, by content, shared by every model that names it
    manifest.json   {"format": 1, "files": {name: {"sha256": ..., "bytes": ...}}}; its own sha256 is the bundle's digest
    bundle.json     `Bundle` or `Encoder`, below
    *.safetensors, tokenizer.json, ...
    card.md         model card
"""

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST, SPEC = "manifest.json", "bundle.json"
MAX_SPEC_BYTES = 1 << 20
ENCODERS = "encoders"  # the folder of a store in which the encoders lie that models share
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ALLOWED = {".safetensors", ".json", ".txt", ".md", ".jsonl", ".csv"}  # nothing that executes when read


PrecisionName = Literal["fp32", "bf16", "int8"]


class BundleError(Exception):
    """A bundle cannot be trusted or understood; the message names the file."""


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


HeadKind = Literal["softmax", "sigmoid"]


class Head(_Spec):
    """kind: softmax: one label is right, and probabilities add up to 1; sigmoid: each may be right or not, whatever the others are."""

    labels: tuple[str, ...] = Field(min_length=2)
    kind: HeadKind = "softmax"


AdaptedName = Literal["qkv", "mix", "widen", "narrow"]  # linear layers of `shared.nn.bert`
ADAPTED: tuple[AdaptedName, ...] = ("qkv", "mix", "widen", "narrow")
MAX_RANK = 64  # of an adapter: beyond it, an encoder of its own answers sooner


class Adapter(_Spec):
    """What a route adds to the linear layers of its encoder: LoRA, kept apart so that others can share the encoder."""

    weights: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors$"
    )  # "layers.<n>.<linear>.a" [rank, inputs] and ".b" [outputs, rank]; layers count from 0
    rank: int = Field(ge=1, le=MAX_RANK)
    scale: float = Field(gt=0, le=1024)  # y += scale * b (a x); elsewhere called alpha / rank
    linears: tuple[AdaptedName, ...] = Field(min_length=1)  # that it adapts, in every layer that the encoder computes

    @model_validator(mode="after")
    def _once(self) -> "Adapter":
        if len(set(self.linears)) < len(self.linears):
            raise ValueError("`linears` names one twice")
        return self


class Route(_Spec):
    """How rows of one language are answered: an encoder, and a linear head on its pooled output for each of the heads."""

    encoder: str = Field(pattern=r"^[0-9a-f]{16}$")  # digest of an encoder bundle
    # None: the encoder as it is; it is not written down then, so that a release without adapters reads the bundle too
    adapter: Adapter | None = Field(default=None, exclude_if=lambda adapter: adapter is None)
    weights: str  # safetensors: "<head>.weight" [labels, width], "<head>.bias" [labels]
    temperature: dict[str, float] = Field(default_factory=dict)  # by head; its kind of (logits / temperature)


class ImageInput(_Spec):
    """Images arrive as UINT8 [rows, height, width] of any one size and are resized and normalised where the model runs."""

    size: int = Field(ge=16, le=1024)  # pixels a side
    mean: float = 0.5
    std: float = 0.25


class Network(_Spec):
    """The shape of an image network: channels and residual blocks of each stage."""

    architecture: Literal["small-resnet", "transformers-resnet"] = "small-resnet"
    widths: tuple[int, ...] = Field(default=(16, 32, 64, 96), min_length=1, max_length=8)
    blocks: tuple[int, ...] = Field(default=(1, 1, 1, 1), min_length=1, max_length=8)

    @model_validator(mode="after")
    def _paired(self) -> "Network":
        if len(self.widths) != len(self.blocks):
            raise ValueError("`widths` and `blocks` need one number each for every stage")
        return self


class Precision(_Spec):
    """What answering with less than fp32 costs, measured on the held-out items when the bundle was made."""

    budget: float = Field(default=0.5, ge=0)  # points of accuracy that serving may lose for speed
    loss: dict[PrecisionName, float] = Field(default_factory=dict)  # points lost against fp32; below 0: gained

    @property
    def allowed(self) -> frozenset[str]:
        """The precisions that may serve this bundle."""
        return frozenset({"fp32", *(name for name, points in self.loss.items() if points <= self.budget)})


class Bundle(_Spec):
    """A domain's model.

    kind:
        text-classifier: inputs ``text`` BYTES [n], optional ``text_pair`` BYTES [n] and ``language`` BYTES [n].
        image-classifier: input ``image`` UINT8 [n, height, width].
        prior: answers every row with ``prior`` (label frequencies): the honest baseline, and the no-op model of benchmarks.
    Outputs, for each head: ``<head>.probabilities`` FP32 [n, labels], calibrated.
    """

    format: Literal[1] = 1
    kind: Literal["text-classifier", "image-classifier", "prior"]
    model: str
    heads: dict[str, Head] = Field(min_length=1)
    routes: dict[str, Route] = Field(default_factory=dict)  # text: by language; "*" serves every other language
    image: ImageInput | None = None
    network: Network | None = None  # image: None is the default network
    weights: str = ""  # image: safetensors of the network, the state dict of `shared.nn.image.build`
    temperature: dict[str, float] = Field(default_factory=dict)  # image: by head
    prior: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    thresholds: dict[str, float] = Field(
        default_factory=dict
    )  # sent along with every answer, e.g. "scope.out_of_scope.en"; of heads of kind sigmoid for each label, as `shared.several` reads them
    precision: Precision | None = None  # None: nobody measured any, and it is served in fp32

    @model_validator(mode="after")
    def _whole(self) -> "Bundle":
        if self.kind == "text-classifier" and "*" not in self.routes:
            raise ValueError('a text classifier needs a route "*" for every language it does not name')
        if self.kind == "image-classifier" and (self.image is None or not self.weights):
            raise ValueError("an image classifier needs `image` and `weights`")
        if self.kind == "prior" and self.prior.keys() != self.heads.keys():
            raise ValueError("`prior` needs one distribution for each head")
        return self

    @property
    def several(self) -> tuple[str, ...]:
        """The heads whose labels may each be right or not."""
        return tuple(head for head, spec in self.heads.items() if spec.kind == "sigmoid")


class Encoder(_Spec):
    """A text encoder: tokens in, one pooled vector [width] a text out."""

    format: Literal[1] = 1
    kind: Literal["encoder"] = "encoder"
    architecture: Literal["transformer", "char-ngram"]
    name: str  # where it came from: a hub id, a package, "trained here"
    revision: str = ""
    weights: str = "model.safetensors"
    pooling: Literal["mean", "cls", "mean+target"] = (
        "mean"  # "mean+target": width is twice that of a layer, see `target`
    )
    layers: tuple[int, ...] = ()  # counted from 1: their outputs are pooled side by side; empty: the last one's
    target: str = ""  # a token that stands for `text` wherever it occurs in `text_pair`, which is then read alone; empty: a plain pair
    width: int
    max_tokens: int = 256


S = TypeVar("S", Bundle, Encoder)


def check_name(name: str) -> str:
    """`name` if it may be a model's or a version's, which become folder names.

    Raises:
        BundleError: it holds anything else than a-z, 0-9, ".", "_", "-", is longer than 64, or is the name of the encoders' folder.
    """
    if not _NAME.fullmatch(name) or ".." in name or name == ENCODERS:
        raise BundleError(
            f"{name!r} is not a valid model or version name (a-z, 0-9, '.', '_', '-', at most 64 characters, not {ENCODERS!r})"
        )
    return name


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def seal(folder: Path, spec: Bundle | Encoder) -> str:
    """Writes `bundle.json` and the manifest over everything in `folder`; returns the bundle's digest."""
    (folder / SPEC).write_text(spec.model_dump_json(indent=1) + "\n")
    files = {
        path.name: {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": files}, indent=1, sort_keys=True) + "\n")
    return sha256(folder / MANIFEST)


def publish(folder: Path, spec: Bundle | Encoder, store: Path, version: str = "") -> tuple[Path, str]:
    """Seals `folder` and moves a copy of it into the store in one step; returns (its place, its digest).

    An encoder's place is its content's digest, so that publishing it twice makes one.
    """
    digest = seal(folder, spec)
    place = (
        store / ENCODERS / digest[:16]
        if isinstance(spec, Encoder)
        else store / check_name(spec.model) / check_name(version)
    )
    if place.exists():
        if sha256(place / MANIFEST) != digest:
            raise BundleError(f"{place} exists already, with other content")
        return place, digest
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    shutil.copytree(folder, staging, dirs_exist_ok=True)
    staging.chmod(0o755)
    staging.rename(place)
    return place, digest


def load(folder: Path, kind: type[S], digest: str = "") -> S:
    """Verifies every byte and returns the spec.

    Args:
        digest: what the ledger says the manifest's sha256 is; empty: any (for looking, not for serving).

    Raises:
        BundleError: a file is missing, changed, of a kind that is never loaded, or not in the manifest; the message names it.
    """
    try:
        files = json.loads(_read(folder / MANIFEST))["files"]
        entries = {str(name): (str(entry["sha256"]), int(entry["bytes"])) for name, entry in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{folder / MANIFEST}: not a readable manifest: {error}") from error
    if digest and sha256(folder / MANIFEST) != digest:
        raise BundleError(f"{folder / MANIFEST}: its sha256 is not the one in the ledger")
    for path in folder.iterdir():
        if path.name != MANIFEST and path.name not in entries:
            raise BundleError(f"{path}: not in the manifest")
    for name, (expected, size) in entries.items():
        path = folder / name
        if Path(name).name != name or path.suffix not in _ALLOWED or path.is_symlink():
            raise BundleError(f"{path}: a bundle may hold no such file")
        if not path.is_file() or path.stat().st_size != size or sha256(path) != expected:
            raise BundleError(f"{path}: missing, or changed since the bundle was sealed (sha256 differs)")
    try:
        return kind.model_validate_json(_read(folder / SPEC))
    except (OSError, ValidationError) as error:
        raise BundleError(f"{folder / SPEC}: {error}") from error


def _read(path: Path) -> bytes:
    if path.stat().st_size > MAX_SPEC_BYTES:
        raise BundleError(f"{path}: more than {MAX_SPEC_BYTES:,} bytes")
    return path.read_bytes()
