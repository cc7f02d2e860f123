"""grpc.health.v1 as every process serves it."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

LIVE = "live"  # asked by liveness probes: SERVING as long as the process answers, whatever it depends on
Status = health_pb2.HealthCheckResponse.ServingStatus


class Health:
    """NOT_SERVING until told otherwise; NOT_SERVING first, and for good, when the process stops."""

    def __init__(self, *services: str) -> None:
        self._servicer = health_aio.HealthServicer()
        self._services = ("", *services)
        self._stopping = False
        self.serving = False

    async def attach(self, server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        await self._servicer.set(LIVE, Status.SERVING)
        await self._set(Status.NOT_SERVING)

    async def set(self, serving: bool) -> None:
        if serving != self.serving and not self._stopping:
            self.serving = serving
            await self._set(Status.SERVING if serving else Status.NOT_SERVING)

    async def stop(self) -> None:
        await self.set(False)
        self._stopping = True

    async def _set(self, status: int) -> None:
        for service in self._services:
            await self._servicer.set(service, status)
