"""Where everything is, from the environment: `TIDEMILL_<NAME>`. Every value has a default that suits one machine."""

import json
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

_HOME = Path(__file__).resolve().parents[1]


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TIDEMILL_", frozen=True)

    kafka: str = "127.0.0.1:9092"  # bootstrap servers, comma-separated
    postgres: str = "postgresql://tidemill@127.0.0.1:5432/tidemill"
    redis: str = "redis://127.0.0.1:6379/0"
    inference: str = "127.0.0.1:8001"

    listen: str = "127.0.0.1:0"  # where this process serves gRPC
    # unlike any other's, and stable across restarts: pod name or process slot; Kafka's static membership
    instance: str = Field(default_factory=socket.gethostname, pattern=r"^[A-Za-z0-9._-]{1,200}$")
    models: Path = Path(".tidemill/models")  # the bundle store
    blobs: dict[str, Path] = Field(default_factory=dict)  # claim stores by name, as JSON: {"x-rays": "/data/x-rays"}
    decoders: int = Field(default=2, ge=1, le=64)  # image decoder processes of an imaging worker
    data: Path = Path(".tidemill")  # scratch of this process
    issuers: Path = _HOME / "data/risk/issuers.jsonl"  # known issuers and their names
    reflection: bool = False  # gRPC server reflection

    # in which text encoders are served; auto: for each model the fastest here of those within its accuracy budget
    precision: Literal["auto", "fp32", "bf16", "int8"] = "fp32"
    compile: bool = False  # their layers by torch.compile, which needs a C++ compiler (on a GPU, Triton)
    graphs: bool = True  # on a GPU, their small passes are recorded as CUDA graphs when they are loaded

    batch_events: int = Field(default=256, ge=1, le=1024)  # events a stream worker settles at once
    batch_within: float = Field(default=0.02, gt=0, le=5)  # seconds it waits for them to gather
    partitions: int = Field(default=4, ge=1)  # of topics that are made here
    replication: int = Field(default=1, ge=1)
    call_timeout: float = Field(
        default=10, gt=0, le=50
    )  # seconds: of a call that states no deadline; less than settlement.HANG
    call_timeout_max: float = Field(default=60, gt=0, le=600)  # seconds: a longer deadline is cut to this
    caller_rows: int = Field(default=4096, ge=1)  # that one caller may have inside the inference service
    caller_bytes: int = Field(default=128 << 20, ge=1)  # of input, likewise
    # caller -> its share of the device and its room, where not 1; as JSON: {"ward": 4}
    caller_weights: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(default_factory=dict)
    # processes of the inference service that speak gRPC, beside the one that computes; none set: by this machine's cores
    fronts: int | None = Field(default=None, ge=0, le=64)
    cache_bytes: int = Field(default=0, ge=0)  # of answers that the inference service keeps; 0: none


def write_environment(settings: Settings) -> dict[str, str]:
    """The variables by which another process has the same settings, but for defaults."""
    return {
        f"TIDEMILL_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.model_dump(mode="json", exclude_unset=True, exclude_none=True).items()
    }


def explain(error: ValidationError) -> str:
    """What is wrong with the first of the settings that cannot be read, in a line that names its variable."""
    found = error.errors()[0]
    named = f"TIDEMILL_{str(found['loc'][0]).upper()}: " if found["loc"] else ""
    return f"{named}{found['msg']}, not {found['input']!r}"
