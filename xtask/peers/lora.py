"""The steps that `cargo xtask bench lora` measures, with PEFT and transformers: a JSON object a line."""

import argparse
import json
import os
import statistics
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--tokens", type=int, default=512)
parser.add_argument("--base", choices=["f32", "bf16"], default="f32")
parser.add_argument("--vocabulary", type=int, default=4096)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--steps", type=int, default=3, help="steps that count, after one that does not")
arguments = parser.parse_args()

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = str(arguments.threads)
import peft  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402


def peak_memory():
    """That of this process, in MiB."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024


# Named here, as their modules are only loaded where they are asked for.
CONFIG, MODEL = transformers.Qwen3_5TextConfig, transformers.Qwen3_5ForCausalLM
# Of Python and its libraries, before there is a model.
IMPORT_MB = peak_memory()
LIBRARY = f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}

# The layers of Qwen3.5-0.8B, four of 24.
SHAPE = dict(
    hidden_size=1024,
    intermediate_size=3584,
    num_hidden_layers=4,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=256,
    linear_num_key_heads=16,
    linear_num_value_heads=16,
    linear_key_head_dim=128,
    linear_value_head_dim=128,
    linear_conv_kernel_dim=4,
    max_position_embeddings=32768,
    rope_parameters=dict(rope_type="default", rope_theta=1e7, partial_rotary_factor=0.25),
    tie_word_embeddings=True,
)


def main():
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    torch.set_default_dtype(DTYPES[arguments.base])
    config = CONFIG(vocab_size=arguments.vocabulary, **SHAPE)
    model = MODEL(config)
    torch.set_default_dtype(torch.float32)
    lora = peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = peft.get_peft_model(model, lora).train()
    learning = [numbers for numbers in model.parameters() if numbers.requires_grad]
    optimiser = torch.optim.AdamW(learning, lr=2e-4, weight_decay=0.0)
    tokens = torch.randint(0, arguments.vocabulary, (1, arguments.tokens))

    def step():
        optimiser.zero_grad(set_to_none=True)
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimiser.step()

    step()
    times, processor = [], time.process_time()
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    processor = 1e3 * (time.process_time() - processor) / arguments.steps
    ms = statistics.median(times)
    row = dict(base=arguments.base, tokens=arguments.tokens, threads=arguments.threads, steps=arguments.steps)
    row |= dict(vocabulary=arguments.vocabulary, ms=ms, cpu_ms=processor)
    row |= dict(rss_mb=peak_memory(), rss_import_mb=IMPORT_MB)
    print(json.dumps(row | dict(tok_s=1e3 * arguments.tokens / ms, library=LIBRARY)), flush=True)


if __name__ == "__main__":
    main()
