"""What many models on one encoder cost: `python -m bench.adapters`.

One plain model, and then fifty that have heads of their own, or adapters too, are asked through the service's own engine, in this process,
with rows for all of them waiting at once. Rounds are interleaved; ratios are taken round by round. Adapters are random: what they hold
changes no time.
"""

import argparse
import asyncio
import gc
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from services.inference.threads import set_waiting

set_waiting()  # before torch is imported, as the service does it

import torch  # noqa: E402

from bench import machine  # noqa: E402
from bench.inference.models import INTENT, Models, prepare  # noqa: E402
from services.inference.engine import Call, Engine  # noqa: E402
from services.inference.lifecycle import warm  # noqa: E402
from services.inference.load import Loader  # noqa: E402
from services.inference.served import Loaded, Served  # noqa: E402
from services.inference.threads import run_apart  # noqa: E402
from services.training.encoders import find  # noqa: E402
from services.training.tuned import SPEC  # noqa: E402
from shared import bundle  # noqa: E402
from shared.bundle import Bundle  # noqa: E402
from shared.nn.adapter import list_linears, save_adapter  # noqa: E402
from shared.nn.encoder import load_network  # noqa: E402

MODELS, TEXTS, ROUNDS = 50, 1024, 3
ROWS, CALLS = 4, 64  # of a call; calls that wait at a time: together the rows of 4 clients with 64 each


def publish(models: Models, name: str, count: int, *, adapted: bool) -> list[str]:
    """`count` copies of the intent model, each with an adapter of its own where `adapted`; their versions."""
    place = models.store / INTENT / models.live[INTENT].version
    spec = bundle.load(place, Bundle)
    made = find(spec.routes["*"].encoder, models.store)
    linears = list_linears(load_network(made.folder, made.spec))
    versions = [f"{name}-{number}" for number in range(count)]
    for version in versions:
        if (models.store / INTENT / version).exists():
            continue
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "bundle"
            shutil.copytree(place, folder, ignore=shutil.ignore_patterns(bundle.MANIFEST))
            route = spec.routes["*"]
            if adapted:
                pairs = {
                    each: (torch.randn(SPEC.rank, inputs) / inputs**0.5, torch.randn(outputs, SPEC.rank) / 100)
                    for each, (inputs, outputs) in linears.items()
                }
                save_adapter(pairs, folder / SPEC.weights)
                route = route.model_copy(update={"adapter": SPEC})
            bundle.publish(folder, spec.model_copy(update={"routes": {"*": route}}), models.store, version)
    return versions


def held() -> int:
    """Bytes of all tensors that Python can reach, storages that are shared counted once."""
    gc.collect()
    tensors = [each for each in gc.get_objects() if issubclass(type(each), torch.Tensor) and not each.is_meta]
    return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())


async def load(loader: Loader, models: Models, versions: Sequence[str]) -> list[Loaded]:
    found = []
    for version in versions:
        digest = bundle.sha256(models.store / INTENT / version / bundle.MANIFEST)
        found.append(await run_apart(loader.load, INTENT, version, digest))
        await warm(found[-1])
    return found


async def measure(served: Sequence[Served], texts: Sequence[str], chance: random.Random) -> float:
    """Texts a second, each call to any of `served`."""
    room = asyncio.Semaphore(CALLS)

    async def ask(rows: Sequence[str]) -> None:
        async with room:
            model = chance.choice(served)
            call = Call(time.monotonic() + 600, "bench", model=model)
            answer = await model.answer(len(rows), {"text": [row.encode() for row in rows]}, call)
            assert not answer.errors

    began = time.perf_counter()
    await asyncio.gather(*(ask(texts[start : start + ROWS]) for start in range(0, len(texts), ROWS)))
    return len(texts) / (time.perf_counter() - began)


async def compare(models: Models, texts: Sequence[str], seed: int, precision: str) -> None:
    engine, chance = Engine(), random.Random(seed)
    engine.start()
    loader = Loader(models.store, engine, precision)
    before = held()
    ways = {"one_plain": await load(loader, models, [models.live[INTENT].version])}
    memory = {"one_plain": held() - before}
    for way, versions in (
        ("one_adapter", publish(models, "adapted", 1, adapted=True)),
        ("heads", publish(models, "heads", MODELS, adapted=False)),
        ("adapters", publish(models, "adapted", MODELS, adapted=True)),
    ):
        began = held()
        ways[way] = await load(loader, models, versions)
        memory[way] = memory["one_plain"] + held() - began
    ways["adapters_and_plain"] = ways["adapters"] + ways["one_plain"] * MODELS
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS + 1):
        for way in chance.sample(list(ways), len(ways)):
            rate = await measure(ways[way], texts, chance)
            if number:  # the first round only warms up
                rates[way].append(rate)
    for way, found in rates.items():
        ratios = [one / plain for one, plain in zip(found, rates["one_plain"], strict=True)]
        machine.result(f"{way}_{precision}_texts_per_second", statistics.median(found))
        machine.result(f"{way}_{precision}_over_one_plain", statistics.median(ratios))
        machine.result(f"{way}_{precision}_over_one_plain_least", min(ratios))
        machine.result(f"{way}_{precision}_over_one_plain_most", max(ratios))
    for way, size in memory.items():
        machine.result(f"{way}_{precision}_memory_mb", size / 1e6)
    await engine.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.adapters", description="many models on one encoder")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--data", type=Path, default=Path(".tidemill/bench-adapters"), help="models")
    parser.add_argument("--precision", choices=["fp32", "bf16", "int8"], default="fp32")
    given = parser.parse_args()
    print(machine.describe(given.seed), flush=True)
    torch.manual_seed(given.seed)
    models = prepare(given.data.resolve(), given.seed, 2_000)
    asyncio.run(compare(models, (models.texts * TEXTS)[:TEXTS], given.seed, given.precision))


if __name__ == "__main__":
    main()
