"""The image network that inference and training share, and the one way in which pixels become its input."""

from collections.abc import Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.bundle import Bundle, ImageInput, Network


class Body(Protocol):
    """Pictures [n, 1, size, size] to maps [n, channels, h, w], and those to one vector a picture."""

    def maps(self, images: Tensor) -> Tensor: ...
    def pool(self, maps: Tensor) -> Tensor: ...


class Classifier(nn.Module):
    """Heads that are linear in what is pooled over cells of the last maps. Its forward takes float [n, 1, size, size], as `prepare` makes
    it, and returns {head: logits [n, labels]}."""

    def __init__(self, body: nn.Module, width: int, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.body = body
        self.heads = nn.ModuleDict({head: nn.Linear(width, labels) for head, labels in heads.items()})

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.classify(self.pool(self.maps(images)))

    def maps(self, images: Tensor) -> Tensor:
        """[n, channels, h, w]."""
        return cast(Body, self.body).maps(images)

    def pool(self, maps: Tensor) -> Tensor:
        """[n, width]: the mean over all cells and, where the width is twice the channels, the maximum behind it."""
        return cast(Body, self.body).pool(maps)

    def classify(self, pooled: Tensor) -> dict[str, Tensor]:
        return {name: head(pooled) for name, head in self.heads.items()}


def build(bundle: Bundle) -> Classifier:
    """The network of an image classifier, its weights not yet loaded. Its state dict is what `bundle.weights` holds."""
    network = bundle.network or Network()
    body: nn.Module
    if network.architecture == "transformers-resnet":
        body, width = _transformers_resnet(network), network.widths[-1]
    else:
        body, width = _SmallResNet(network), 2 * network.widths[-1]
    return Classifier(body, width, {head: len(spec.labels) for head, spec in bundle.heads.items()})


def prepare(images: Tensor, spec: ImageInput) -> Tensor:
    """uint8 [n, height, width] as the network's float [n, 1, size, size]: resized with antialiasing, normalised."""
    pixels = images.unsqueeze(1).to(torch.float32) / 255
    if pixels.shape[-2:] != (spec.size, spec.size):
        pixels = functional.interpolate(pixels, (spec.size, spec.size), mode="bilinear", antialias=True)
    return (pixels - spec.mean) / spec.std


class _SmallResNet(nn.Module):
    """Pre-activation residual stages (He et al. 2016), each but the first halving the side.

    Group normalisation, because fine-tuning on a few corrections must not move batch statistics. Mean *and* maximum are pooled:
    a small opacity fills few cells of the last map and would drown in the mean.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        width = network.widths[0]
        self.stem = nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False)
        layers: list[nn.Module] = []
        for stage, (out, blocks) in enumerate(zip(network.widths, network.blocks, strict=True)):
            for block in range(blocks):
                layers.append(_Block(width, out, stride=2 if stage and not block else 1))
                width = out
        self.stages = nn.Sequential(*layers)
        self.norm = _norm(width)

    def maps(self, images: Tensor) -> Tensor:
        return functional.relu(self.norm(self.stages(self.stem(images))))

    def pool(self, maps: Tensor) -> Tensor:
        return torch.cat((maps.mean((2, 3)), maps.amax((2, 3))), 1)


class _Block(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _norm(width), _norm(out)
        self.spread = nn.Conv2d(width, out, 3, stride, padding=1, bias=False)
        self.gather = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False) if stride > 1 or width != out else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        active = functional.relu(self.first(maps))
        inner: Tensor = self.gather(functional.relu(self.second(self.spread(active))))
        shortcut: Tensor = self.shortcut(maps if isinstance(self.shortcut, nn.Identity) else active)
        return inner + shortcut


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(next(groups for groups in (8, 4, 2, 1) if width % groups == 0), width)


def _transformers_resnet(network: Network) -> nn.Module:
    """transformers' ResNet without its classifier. Imported here: a service that has only the small network starts without it."""
    from transformers import ResNetConfig, ResNetModel

    config = ResNetConfig(
        num_channels=1,
        embedding_size=network.widths[0],
        hidden_sizes=list(network.widths),
        depths=list(network.blocks),
        layer_type="basic",
    )
    return _Pooled(ResNetModel(config))


class _Pooled(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def maps(self, images: Tensor) -> Tensor:
        found: Tensor = self.model(images).last_hidden_state
        return found

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))  # as the pooler of its ResNetModel does
