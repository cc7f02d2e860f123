"""Image classifiers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from services.inference import heat
from services.inference.blame import FAULT
from services.inference.engine import Call, Engine, Work
from services.inference.heat import HEAT_MAP, HeatDevice
from services.inference.launcher import Launcher
from services.inference.refusal import invalid
from services.inference.served import Answer, Identity, collect, finite
from services.inference.tensors import Tensor, TensorSpec
from services.inference.units import Unit
from shared.bundle import HeadKind, ImageInput
from shared.nn.heads import calibrate
from shared.nn.image import Classifier, prepare

MAX_SIDE = 4096  # pixels
BUDGET = {"cpu": 1 << 21, "cuda": 1 << 25}  # pixels a pass


@dataclass(frozen=True, slots=True)
class Pixels:
    """stacks: pictures of one size each, uint8 [n, height, width] on the host; order: of each picture, where it is among all of them."""

    stacks: list[torch.Tensor]
    order: list[int]


class ImageDevice:
    """One image network."""

    precision = "fp32"

    def __init__(
        self,
        network: Classifier,
        spec: ImageInput,
        temperature: Mapping[str, float],
        kinds: Mapping[str, HeadKind],
        device: torch.device,
        launcher: Launcher,
    ) -> None:
        self.spec, self.budget = spec, BUDGET[device.type]
        self.network, self._temperature, self.kinds, self._device = network.to(device), temperature, kinds, device
        self.launcher = launcher

    @torch.inference_mode()
    def run(self, units: Sequence[Unit]) -> list[NDArray[np.float32]]:
        """For each unit (payload: uint8 [height, width]), the probabilities of all labels of all heads, one after another."""
        pixels = self.stage([unit.payload for unit in units])
        with self.launcher.turn():
            wait = self.launcher.fetch(self.calibrate(self.network(self.read(pixels))))
        return list(finite(wait().numpy()))

    def stage(self, images: Sequence[NDArray[np.uint8]]) -> Pixels:
        """Bytes all the way: the device makes numbers of them, a quarter as much is sent."""
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row, image in enumerate(images):
            rows_of.setdefault(image.shape, []).append(row)
        stacks = []
        for shape, rows in rows_of.items():
            stack = self.launcher.host(len(rows) * math.prod(shape), torch.uint8).view(len(rows), *shape)
            np.stack([images[row] for row in rows], out=stack.numpy())
            stacks.append(stack)
        return Pixels(stacks, np.argsort(np.concatenate(list(rows_of.values()))).tolist())

    def read(self, pixels: Pixels) -> torch.Tensor:
        """Pictures of any sizes as the network's input, in the order in which they were staged. Within a turn."""
        inputs = [prepare(stack.to(self._device, non_blocking=True), self.spec) for stack in pixels.stacks]
        return torch.cat(inputs)[pixels.order] if len(inputs) > 1 else inputs[0]

    def calibrate(self, logits: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """[n, labels of all heads]: probabilities."""
        heads = [calibrate(each, self.temperature(head), self.kinds[head]) for head, each in logits.items()]
        return torch.cat(heads, 1)

    def temperature(self, head: str) -> float:
        return self._temperature.get(head, 1.0)

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
        self._identity, self._device, self._engine = identity, device, engine
        self._heat = HeatDevice(device)
        self.outputs = identity.outputs(*self._heat.outputs)

    async def answer(self, rows: int, tensors: Mapping[str, Tensor], call: Call) -> Answer:
        images = cast(NDArray[np.uint8], tensors["image"])
        _, height, width = images.shape
        if max(height, width) > MAX_SIDE:
            raise invalid("IMAGE_TOO_LARGE", "inputs[image]", f"a side has {max(height, width)} pixels of {MAX_SIDE}")
        head = heat.begin(self._identity, self._heat.grid, rows, call)
        cost = max(height * width, self._device.spec.size**2)
        work = [self._heat.ask(cost, image, head) if head else Work(self._device, cost, image) for image in images]
        ticket = await self._engine.compute(work, call)
        found = collect(ticket, self._identity.width + (math.prod(self._heat.grid) if head else 0))
        answer = Answer(self._identity.split(found), dict.fromkeys(sorted(ticket.bad), FAULT))
        answer.waited, answer.computing = ticket.waited, ticket.computing
        if head:
            answer.tensors[HEAT_MAP] = found[:, self._identity.width :].reshape(rows, *self._heat.grid)
        return answer

    def sample(self) -> tuple[int, dict[str, Tensor]]:
        return 1, {"image": self._device.sample[None]}
