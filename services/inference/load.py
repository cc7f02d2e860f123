"""From a verified bundle to a model that answers. Every byte is checked against the ledger before any of it is used."""

import gc
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from services.inference.engine import Engine
from services.inference.prior import PriorModel
from services.inference.served import Identity, Loaded
from services.inference.threads import give_way, use_cores
from shared import bundle as bundles
from shared.bundle import Bundle, BundleError, Encoder, HeadKind, Precision, Route
from shared.heads import misfit
from shared.settings import Settings

if TYPE_CHECKING:  # torch takes seconds to import: only where a model needs it
    import torch

    from services.inference.launcher import Cuda, Launcher
    from services.inference.text import Branch, EncoderDevice, SharedEncoder


def open_loader(settings: Settings, engine: Engine) -> "Loader":
    return Loader(settings.models, engine, settings.precision, compiled=settings.compile, graphs=settings.graphs)


class Loader:
    """Loads models of one store for one engine. `load` is called from one thread at a time, never from the event loop's."""

    def __init__(
        self, store: Path, engine: Engine, precision: str = "auto", *, compiled: bool = False, graphs: bool = True
    ) -> None:
        """precision, compiled, graphs: as in `Settings`."""
        self._store, self._engine, self._precision = store, engine, precision
        self._compiled, self._graphs = compiled, graphs
        self._gpu: Cuda | None = None
        self._known: set[str] = set()  # kinds of models that were loaded
        self._tokenising = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "tokenise")
        self._shared: WeakValueDictionary[str, SharedEncoder] = WeakValueDictionary()
        self._encoders: WeakValueDictionary[tuple[str, str], EncoderDevice] = WeakValueDictionary()

    def load(self, model: str, version: str, digest: str, *, gently: bool = False) -> Loaded:
        """The model, not yet warm.

        Args:
            gently: in the time that others leave, but for the first of a kind: threads that are made for it would stay as slow.

        Raises:
            BundleError: the bundle, or an encoder that it names, cannot be trusted or understood; the message names the file.
        """
        folder = self._store / bundles.check_name(model) / bundles.check_name(version)
        spec = bundles.load(folder, Bundle, digest)
        if spec.model != model:
            raise BundleError(f"{folder / bundles.SPEC}: it is a bundle of {spec.model!r}, not of {model!r}")
        if wrong := misfit(model, {head: each.labels for head, each in spec.heads.items()}, spec.several):
            raise BundleError(f"{folder / bundles.SPEC}: it has {wrong}")
        if gently and spec.kind in self._known:
            give_way()
        try:
            made = self._build(folder, spec, version)
            self._known.add(spec.kind)
            return made
        except BundleError:
            raise
        # Safetensors and tokenizers have errors of their own, and a panic of their Rust is no Exception.
        except BaseException as error:
            raise BundleError(f"{folder}: what it holds does not fit its {bundles.SPEC}: {error}") from error

    def release(self) -> None:
        """Gives back what models that are no longer held took: on a GPU, to the driver, where others can have it."""
        gc.collect()
        if self._gpu:  # else nobody may have imported torch, or somebody is about to
            import torch

            torch.cuda.empty_cache()

    def _build(self, folder: Path, spec: Bundle, version: str) -> Loaded:
        if spec.kind == "prior":
            return PriorModel(spec, version)
        identity = Identity.of(spec, version)
        if spec.kind == "image-classifier":
            return self._build_image(folder, spec, identity)
        from services.inference.text import TextModel

        made: dict[str, Branch] = {}  # a route that several languages have is in memory once
        for route in spec.routes.values():
            if (key := route.model_dump_json()) not in made:
                made[key] = self._branch(folder, spec, route, identity.heads)
        branches = {language.lower(): made[route.model_dump_json()] for language, route in spec.routes.items()}
        return TextModel(identity, branches, self._engine, self._tokenising)

    def _branch(self, folder: Path, spec: Bundle, route: Route, labels: Mapping[str, int]) -> "Branch":
        from services.inference.text import Branch
        from shared.nn.adapter import load_adapter
        from shared.nn.heads import load_heads

        encoder = self._find_encoder(route.encoder, spec.precision)
        heads = load_heads(folder / route.weights, encoder.width, labels).to(encoder.device)
        adapter = None
        if route.adapter:
            whole = load_adapter(folder / route.adapter.weights, route.adapter, encoder.shared.networks.exact)
            adapter = whole.to(encoder.device, encoder.precision)
        return Branch(encoder, heads, route.temperature, _kinds(spec), adapter)

    def _find_encoder(self, digest: str, record: Precision | None) -> "EncoderDevice":
        """The encoder in the precision that this model is to be answered in, for as long as it is loaded."""
        from services.inference.text import EncoderDevice

        device, launcher = self._find_device()
        shared = self._shared.get(digest)
        if shared is None:
            shared = self._shared[digest] = self._load_encoder(digest, device, launcher)
        precision = shared.networks.choose(record.allowed if record else {"fp32"}, self._precision)
        encoder = self._encoders.get((digest, precision))
        if encoder is None:
            encoder = self._encoders[digest, precision] = EncoderDevice(shared, precision)
        return encoder

    def _load_encoder(self, digest: str, device: "torch.device", launcher: "Launcher") -> "SharedEncoder":
        folder = self._store / bundles.ENCODERS / digest
        spec = bundles.load(folder, Encoder)
        if not bundles.sha256(folder / bundles.MANIFEST).startswith(digest):
            raise BundleError(f"{folder / bundles.MANIFEST}: its sha256 does not begin with {digest}")
        from services.inference.precision import Networks
        from services.inference.text import SharedEncoder
        from shared.nn.encoder import load_network, load_tokenizer

        networks = Networks(load_network(folder, spec), device, spec.name, compiled=self._compiled)
        tokenizer = load_tokenizer(folder, spec)
        return SharedEncoder(networks, tokenizer, spec.width, device, launcher, self._gpu if self._graphs else None)

    def _build_image(self, folder: Path, spec: Bundle, identity: Identity) -> Loaded:
        from safetensors.torch import load_file

        from services.inference.picture import ImageDevice, ImageModel
        from shared.nn.image import build

        assert spec.image is not None  # the bundle's own validation
        network = build(spec)
        network.load_state_dict(load_file(folder / spec.weights))
        device, launcher = self._find_device()
        images = ImageDevice(network.eval(), spec.image, spec.temperature, _kinds(spec), device, launcher)
        return ImageModel(identity, images, self._engine)

    def _find_device(self) -> "tuple[torch.device, Launcher]":
        import torch

        from services.inference.launcher import Cuda, Host

        if not torch.cuda.is_available():
            self._engine.share(torch.get_num_threads())  # passes share the cores
            use_cores(1)  # loading leaves the others to passes
            return torch.device("cpu"), Host()
        if self._gpu is None:
            self._gpu = Cuda(torch.device("cuda"))
            self._engine.overlap()  # a GPU takes one pass after another
        return torch.device("cuda"), self._gpu


def _kinds(spec: Bundle) -> dict[str, HeadKind]:
    return {head: each.kind for head, each in spec.heads.items()}
