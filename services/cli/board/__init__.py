"""The live view: what the streams carry now, how fast, and what was last decided."""
