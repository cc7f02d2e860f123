"""The synchronous door: a domain's gRPC server."""
