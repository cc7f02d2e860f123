"""The shared inference service, as a domain sees it; `shared.infer` has its types."""
