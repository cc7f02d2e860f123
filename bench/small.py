"""An inference server on small random models, for what asks how it behaves and not how fast it is: `python -m bench.small`.

It prints its address, and ends with its input. No ledger and no Postgres: the models are the tests', made on the spot.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file

from shared.bundle import Bundle, Head, ImageInput, Network, publish
from shared.nn.image import build
from shared.settings import Settings
from tests.inference.bundles import publish_encoder, publish_text
from tests.inference.conftest import INTENT, RISK, Turning, serving, until

IMAGES = Bundle(
    kind="image-classifier",
    model="imaging",
    heads={"finding": Head(labels=("normal", "opacity"))},
    image=ImageInput(size=32),
    network=Network(widths=(4, 8), blocks=(1, 1)),
    weights="model.safetensors",
)


def make(scratch: Path, store: Path) -> Turning:
    """`intent` and `risk` on one encoder, and `imaging`; all live."""
    ledger = Turning()
    route = {"*": publish_encoder(scratch, store)}
    ledger.point("intent", "v1", publish_text(scratch, store, "intent", "v1", route, INTENT))
    ledger.point("risk", "v1", publish_text(scratch, store, "risk", "v1", route, RISK, seed=2))
    folder = scratch / "images"
    folder.mkdir()
    torch.manual_seed(0)
    save_file(build(IMAGES).eval().state_dict(), folder / "model.safetensors")
    ledger.point("imaging", "v1", publish(folder, IMAGES, store, "v1")[1])
    return ledger


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch, store = Path(folder), Path(folder) / "models"
        ledger = make(scratch, store)
        async with serving(Settings(models=store), ledger) as server:
            await until(lambda: server.registry.ready or server.lifecycle.done())
            print(server.address, flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    torch.set_num_threads(1)
    asyncio.run(main())
