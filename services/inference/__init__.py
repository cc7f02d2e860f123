"""One engine for every domain's models, behind the Open Inference Protocol."""
