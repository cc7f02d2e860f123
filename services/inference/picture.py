"""Image classifiers."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from services.inference.blame import FAULT
from services.inference.engine import Call, Engine, Work
from services.inference.launcher import Launcher
from services.inference.refusal import invalid
from services.inference.served import Answer, Identity, collect, finite
from services.inference.tensors import Tensor, TensorSpec
from services.inference.units import Unit
from shared.bundle import HeadKind, ImageInput
from shared.nn.heads import calibrate
from shared.nn.image import prepare

MAX_SIDE = 4096  # pixels
BUDGET = {"cpu": 1 << 21, "cuda": 1 << 25}  # pixels a pass


class ImageDevice:
    """One image network."""

    precision = "fp32"

    def __init__(
        self,
        network: nn.Module,
        spec: ImageInput,
        temperature: Mapping[str, float],
        kinds: Mapping[str, HeadKind],
        device: torch.device,
        launcher: Launcher,
    ) -> None:
        self.spec, self.budget = spec, BUDGET[device.type]
        self._network, self._temperature, self._kinds, self._device = network.to(device), temperature, kinds, device
        self._launcher = launcher

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        """For each unit (payload: uint8 [height, width]), the probabilities of all labels of all heads, one after another."""
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row, unit in enumerate(units):
            rows_of.setdefault(unit.payload.shape, []).append(row)
        stacks = [self._stack([units[row].payload for row in rows]) for rows in rows_of.values()]
        with self._launcher.turn():
            inputs = [prepare(stack.to(self._device, non_blocking=True), self.spec) for stack in stacks]
            logits = self._network(torch.cat(inputs) if len(inputs) > 1 else inputs[0])
            heads = [
                calibrate(each, self._temperature.get(head, 1.0), self._kinds[head]) for head, each in logits.items()
            ]
            wait = self._launcher.fetch(torch.cat(heads, 1))
        vectors = finite(wait().numpy())
        places = np.argsort(np.concatenate(list(rows_of.values())))
        return list(vectors[places])

    def _stack(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Bytes all the way: the device makes numbers of them, a quarter as much is sent."""
        shape = len(images), *images[0].shape
        stack = self._launcher.host(math.prod(shape), torch.uint8).view(shape)
        np.stack(images, out=stack.numpy())
        return stack

    def proven(self, payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self.sample

    @property
    def sample(self) -> NDArray[np.uint8]:
        """An image that every model has answered before it is live."""
        return np.zeros((self.spec.size, self.spec.size), np.uint8)

    def padding(self, units: Sequence[Unit]) -> int:
        return 0  # every picture is scaled to the network's size


class ImageModel:
    platform = "tidemill_image_classifier"
    inputs = (TensorSpec("image", "UINT8", (-1, -1, -1)),)

    def __init__(self, identity: Identity, device: ImageDevice, engine: Engine) -> None:
        self.name, self.version, self.card = identity.name, identity.version, identity.card
        self.outputs = identity.outputs()
        self._identity, self._device, self._engine = identity, device, engine

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        images = cast(NDArray[np.uint8], tensors["image"])
        _, height, width = images.shape
        if max(height, width) > MAX_SIDE:
            raise invalid("IMAGE_TOO_LARGE", "inputs[image]", f"a side has {max(height, width)} pixels of {MAX_SIDE}")
        cost = max(height * width, self._device.spec.size**2)
        ticket = await self._engine.compute([Work(self._device, cost, image) for image in images], call)
        heads = self._identity.split(collect(ticket, self._identity.width))
        errors = dict.fromkeys(sorted(ticket.bad), FAULT)
        return Answer(heads, errors, waited=ticket.waited, computing=ticket.computing)

    def sample(self) -> tuple[int, dict[str, Tensor]]:
        return 1, {"image": self._device.sample[None]}
