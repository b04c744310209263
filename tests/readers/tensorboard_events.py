"""Reads the event file of a run back with TensorBoard's own reader and compares it with metrics.jsonl.

    python tests/readers/tensorboard_events.py RUN

Needs the package `tensorboard`. Exits with 0 where both tell the same, and with 1 and what differs where not.
"""

import json
import math
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

STEP = {
    "train/loss": "loss",
    "train/learning_rate": "learning_rate",
    "train/weight_decay": "weight_decay",
    "train/gradient_norm": "gradient_norm",
    "train/router_loss": "router_loss",
    "train/flips": "flips",
    "speed/tokens_per_second": "tokens_per_second",
    "speed/peak_memory": "peak_memory",
}
MATRIX = ("sparsity", "effective_bits", "flips", "scale_drift", "dead_zone")


def expected(records):
    """Scalars by tag, and histograms by tag: lists of (step, value)."""
    scalars, histograms, texts = {}, {}, {}
    start = next((record for record in records if record["kind"] == "start"), {})

    def add(to, tag, step, value):
        if value is not None:
            to.setdefault(tag, []).append((step, value))

    for record in records:
        step = record.get("step")
        if record["kind"] == "step":
            for tag, key in STEP.items():
                add(scalars, tag, step, record.get(key))
        elif record["kind"] == "evaluation":
            add(scalars, "held_out/loss", step, record["nats"])
            add(scalars, "held_out/bits_per_byte", step, record.get("bits_per_byte"))
            add(scalars, "held_out/floor", step, start.get("floor"))
            add(scalars, "held_out/baseline", step, start.get("baseline"))
        elif record["kind"] == "layers":
            add(scalars, "ternary/sparsity", step, record["sparsity"])
            for matrix in record["matrices"]:
                name = matrix["name"].removesuffix(".weight")
                for key in MATRIX:
                    add(scalars, f"{key}/{name}", step, matrix.get(key))
                add(histograms, f"latent/{name}", step, matrix.get("histogram"))
        elif record["kind"] == "sample":
            add(texts, "sample", step, record["prompt"] + record["text"])
    return scalars, histograms, texts


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    run = pathlib.Path(sys.argv[1])
    lines = (run / "metrics.jsonl").read_text().splitlines()
    scalars, histograms, texts = expected([json.loads(line) for line in lines])
    files = sorted(run.glob("events.out.tfevents.*"))
    if len(files) != 1:
        print(f"{run}: expected one event file, found {len(files)}")
        return 1
    events = EventAccumulator(str(files[0]), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    wrong = []

    def same(tag, found, wanted):
        if [step for step, _ in found] != [step for step, _ in wanted]:
            wrong.append(f"{tag}: expected {len(wanted)} events, found {len(found)} or at other steps")
            return
        for (step, value), (_, want) in zip(found, wanted):
            close = value == want if isinstance(want, (list, str)) else math.isclose(value, want, rel_tol=1e-6, abs_tol=1e-37)
            if not close:
                wrong.append(f"{tag}, step {step}: expected {want}, found {value}")

    tags = events.Tags()
    for tag, wanted in scalars.items():
        if tag not in tags["scalars"]:
            wrong.append(f"{tag}: no such curve")
            continue
        same(tag, [(event.step, event.value) for event in events.Scalars(tag)], wanted)
    for tag, wanted in histograms.items():
        if tag not in tags["histograms"]:
            wrong.append(f"{tag}: no such histogram")
            continue
        found = [(event.step, event.histogram_value) for event in events.Histograms(tag)]
        same(tag, [(step, [int(count) for count in value.bucket]) for step, value in found], wanted)
        for step, value in found:
            if list(value.bucket_limit) != sorted(value.bucket_limit) or value.num != sum(value.bucket):
                wrong.append(f"{tag}, step {step}: buckets out of order, or not as many as they say")
    for tag, wanted in texts.items():
        found = [(event.step, event.tensor_proto.string_val[0].decode()) for event in events.Tensors(tag)]
        same(tag, found, wanted)
    for line in wrong[:20]:
        print(line)
    count = sum(map(len, [*scalars.values(), *histograms.values(), *texts.values()]))
    print(f"{len(scalars)} curves, {len(histograms)} histograms, {count} values: {len(wrong)} differ")
    return 1 if wrong or not scalars else 0


if __name__ == "__main__":
    sys.exit(main())
