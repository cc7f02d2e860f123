"""A map over its picture, as `tidemill ask imaging` writes it."""

import io
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from protos import event_pb2, imaging_pb2, imaging_pb2_grpc
from services.cli.__main__ import app
from services.cli.problem import Problem
from tests.imaging import samples
from tests.listening import listening


class Small(imaging_pb2_grpc.ImagingServiceServicer):
    """Saw what it says in the upper left quarter; of quality it has a map that lacks a cell."""

    def Read(self, request: Any, context: Any) -> imaging_pb2.ImagingReply:  # noqa: N802 - gRPC's name
        scores = [1.0, 0.0, 0.0, 0.0] if request.explain == "finding" else [1.0]
        told = event_pb2.Explanation(head=request.explain, label="opacity", lead=1.0)
        told.seen.CopyFrom(event_pb2.HeatMap(down=2, across=2, scores=scores))
        answer = event_pb2.Answer(model=event_pb2.Model(name="imaging", version="v1"), explanations=[told])
        return imaging_pb2.ImagingReply(result=imaging_pb2.ImagingResult(answer=answer, finding="opacity"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    imaging_pb2_grpc.add_ImagingServiceServicer_to_server(Small(), server)  # type: ignore[no-untyped-call]
    with listening(server) as where:
        yield where


def ask(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["ask", *map(str, words)], env={"COLUMNS": "200"})


def test_the_map_lies_over_the_picture(address: str, tmp_path: Path) -> None:
    """In colour where the label was seen, grey elsewhere; --overlay asks for the explanation itself."""
    (picture := tmp_path / "a.dcm").write_bytes(samples.dicom())
    ran = ask("imaging", picture, "--overlay", out := tmp_path / "seen.png", "--address", address)
    assert ran.exit_code == 0, ran.output
    assert "finding: opacity  lead +1.00" in ran.output
    assert str(out) in ran.output
    with Image.open(io.BytesIO(out.read_bytes())) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)[:512, (image.width - 512) // 2 :][:, :512]
    coloured = np.ptp(pixels, axis=2) > 0
    assert coloured[:256, :256].all()
    assert not coloured[256:].any()
    assert not coloured[:, 256:].any()


def test_what_cannot_be_laid_over_is_said(address: str, tmp_path: Path) -> None:
    """Before anything is asked where it can be; the picture itself is never written over."""
    (picture := tmp_path / "a.dcm").write_bytes(data := samples.dicom())
    for words, said in (
        (("intent", "hello", "--overlay", tmp_path / "o.png"), "not over text"),
        (("imaging", picture, "--overlay", tmp_path / "none" / "o.png"), "in a folder that exists"),
        (("imaging", picture, "--overlay", picture), "is the picture itself"),
    ):
        ran = ask(*words, "--address", "127.0.0.1:1")
        assert ran.exit_code == 2
        assert said in " ".join(ran.output.replace("│", " ").split())
    ran = ask("imaging", picture, "--head", "quality", "--overlay", tmp_path / "o.png", "--address", address)
    assert isinstance(ran.exception, Problem)
    assert "holds no map" in str(ran.exception)
    assert picture.read_bytes() == data
    assert not (tmp_path / "o.png").exists()
