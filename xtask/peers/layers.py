"""The layers that `cargo xtask bench layers` measures, in PyTorch: a JSON object a line."""

import argparse
import json
import os
import statistics
import time

LAYERS = ["dense", "attention"]

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tokens", type=int, default=2048)
parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
parser.add_argument("--shapes", nargs="+", default=["512x1536", "1024x4096", "2048x2048"])
parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
parser.add_argument("--calls", type=int, default=2, help="calls of which the median is printed")
parser.add_argument("--seconds", type=float, default=0.1, help="at least so long for each row")
arguments = parser.parse_args()

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(max(arguments.threads))
import torch  # noqa: E402

LIBRARY = f"torch {torch.__version__}"
HEADS = dict(query_heads=8, key_heads=4, width=64)


def microseconds(call):
    """The median time of a call, after one that is not counted."""
    call()
    times, start = [], time.perf_counter()
    while len(times) < arguments.calls or time.perf_counter() - start < arguments.seconds:
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(times)


def report(layer, direction, threads, call, **sizes):
    us = round(microseconds(call), 1)
    row = dict(layer=layer, m=arguments.tokens, threads=threads, **sizes, us=us, library=LIBRARY)
    print(json.dumps(row | {"pass": direction}), flush=True)


def measure(layer, threads, leaves, forward, **sizes):
    """Forward alone, then forward and the gradients of all leaves, which are made anew each time."""

    def forward_alone():
        with torch.no_grad():
            forward()

    upstream = torch.randn_like(forward().detach())

    def forward_backward():
        for leaf in leaves:
            leaf.grad = None
        forward().backward(upstream)

    report(layer, "forward", threads, forward_alone, **sizes)
    report(layer, "forward_backward", threads, forward_backward, **sizes)


def dense(threads, inputs, outputs):
    linear = torch.nn.Linear(inputs, outputs, bias=False)
    x = torch.randn(arguments.tokens, inputs, requires_grad=True)
    measure("dense", threads, [x, linear.weight], lambda: linear(x), k=inputs, n=outputs)


def attention(threads):
    def heads(count):
        return torch.randn(1, count, arguments.tokens, HEADS["width"], requires_grad=True)

    q, k, v = heads(HEADS["query_heads"]), heads(HEADS["key_heads"]), heads(HEADS["key_heads"])

    def forward():
        function = torch.nn.functional.scaled_dot_product_attention
        return function(q, k, v, is_causal=True, enable_gqa=True)

    measure("attention", threads, [q, k, v], forward, **HEADS)


torch.manual_seed(1)
for threads in arguments.threads:
    torch.set_num_threads(threads)
    if "dense" in arguments.layers:
        for shape in arguments.shapes:
            dense(threads, *map(int, shape.split("x")))
    if "attention" in arguments.layers:
        attention(threads)
