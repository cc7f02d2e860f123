"""`make bench-inference`: the inference service beside the bare model, in one run, on the machine at hand.

Everything is measured in turns: each round measures every throughput once, in an order drawn anew, on the same texts. The server is the
real process following a real ledger; callers and the bare loops are processes of their own on the same cores.
"""
