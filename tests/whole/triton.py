"""An unmodified `tritonclient` against inference: `python triton.py ADDRESS`, texts on standard input as JSON.

In a process of its own, because tritonclient registers a proto package of the same name as ours (triton client #730). Prints what the
synchronous and the asynchronous client were answered, as JSON.
"""

import asyncio
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as sync
import tritonclient.grpc.aio as aio


def inputs(module: Any, texts: list[str]) -> list[Any]:
    found = []
    for name, values in (("text", texts), ("language", ["en"] * len(texts))):
        tensor = module.InferInput(name, [len(texts)], "BYTES")
        tensor.set_data_from_numpy(np.array([value.encode() for value in values], np.object_))
        found.append(tensor)
    return found


def answer(result: Any) -> dict[str, Any]:
    response = result.get_response()
    return {"version": response.model_version, "intent": result.as_numpy("intent.probabilities").tolist()}


async def ask_aio(address: str, texts: list[str]) -> dict[str, Any]:
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready("intent")
        return answer(await client.infer("intent", inputs(aio, texts)))


def main() -> None:
    address, texts = sys.argv[1], json.load(sys.stdin)
    with sync.InferenceServerClient(address) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        said = {"sync": answer(client.infer("intent", inputs(sync, texts)))}
    said["aio"] = asyncio.run(ask_aio(address, texts))
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
