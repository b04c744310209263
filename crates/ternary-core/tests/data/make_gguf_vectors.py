"""Writes the vectors that tests/foreign_gguf.rs compares with.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 numpy==2.4.6
    venv/bin/python make_gguf_vectors.py

It writes, beside itself, all little-endian:

    gguf_input.f32    ternary weights alpha * trit, ROWS rows of COLUMNS
    gguf_tq1_0.bin    the blocks that gguf.quants.quantize makes of them
    gguf_tq1_0.f32    the weights that gguf.quants.dequantize reads from those blocks
    gguf_tq2_0.bin    likewise
    gguf_tq2_0.f32

This release of the package has no Q2_0, so there are no vectors of that format: its test compares
with the format's description instead.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize

GGUF_VERSION = "0.19.0"
ROWS, COLUMNS, BLOCK = 4, 768, 256
SEED = 20


def ternary_weights() -> np.ndarray:
    """Blocks of random trits, each with a scale of its own, and some special blocks."""
    generator = np.random.default_rng(SEED)
    trits = generator.integers(-1, 2, size=(ROWS * COLUMNS // BLOCK, BLOCK))
    trits[3] = -1
    trits[4] = 0
    trits[5] = 1
    # Where rounding to f16 is delicate: a tie that goes down, one that goes up, just above a tie,
    # the largest f16, the largest f32 that rounds to it, the smallest f16, and one without all bits.
    ulp = 2.0**-10
    scales = generator.uniform(0.01, 2.0, size=len(trits)).astype(np.float32)
    scales[0] = 1 + ulp / 2
    scales[1] = 1 + 3 * ulp / 2
    scales[2] = np.nextafter(np.float32(1 + ulp / 2), np.float32(2))
    scales[6] = 65504
    scales[7] = np.nextafter(np.float32(65520), np.float32(0))
    scales[8] = 2.0**-24
    scales[9] = 1e-5
    return (trits * scales[:, None]).astype("<f4").reshape(ROWS, COLUMNS)


def main() -> None:
    found = version("gguf")
    if found != GGUF_VERSION:
        raise SystemExit(f"expected gguf {GGUF_VERSION}, found {found}")
    folder = Path(__file__).parent
    weights = ternary_weights()
    (folder / "gguf_input.f32").write_bytes(weights.tobytes())
    for kind in (GGMLQuantizationType.TQ1_0, GGMLQuantizationType.TQ2_0):
        blocks = quantize(weights, kind)
        name = f"gguf_{kind.name.lower()}"
        (folder / f"{name}.bin").write_bytes(blocks.tobytes())
        (folder / f"{name}.f32").write_bytes(dequantize(blocks, kind).astype("<f4").tobytes())


if __name__ == "__main__":
    main()
