"""PEFT's side of `cargo xtask interop`.

    python peft_side.py make FOLDER     writes tiny random models, adapters for them, and what they compute
    python peft_side.py read FOLDER     reads the adapters that were written beside them since, and says what they compute

A model of each kind has a folder of its name in FOLDER:

    base/            the model, as transformers writes it
    adapter-NAME/    adapters, as PEFT writes them
    made.json        tokens; logits without and with each of the adapters; losses of training in f64
    ours/            adapters that the other side has written
    tuned/adapter/   those that the other side has trained on a text, of which held_out.txt is held out
    read.json        logits with the former, and the held-out loss with the latter

A number in these files is a number of Python: nothing is rounded.
"""

import contextlib
import json
import pathlib
import sys
import warnings

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from torch.overrides import TorchFunctionMode

ADAMW = dict(
    lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01, steps=20, amsgrad=False, batch_of_step="in turn"
)  # fmt: skip
# Tokens that a window predicts in an evaluation.
WINDOW = 64

# Bytes are tokens of a model of 256 of them.
SHAPE = dict(vocab_size=256, hidden_size=48, intermediate_size=80, max_position_embeddings=512)
DENSE = dict(num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, initializer_range=0.2)
HYBRID = dict(
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    linear_num_key_heads=2,
    linear_num_value_heads=4,
    linear_key_head_dim=8,
    linear_value_head_dim=12,
    initializer_range=0.2,
)
TURNS = dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.25)
MIXTURE = dict(
    num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, shared_expert_intermediate_size=20
)
VISION = dict(
    depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=48,
    num_position_embeddings=16, patch_size=4,
)  # fmt: skip

LLAMA3 = dict(
    rope_type="llama3", rope_theta=5e5, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
    original_max_position_embeddings=64,
)  # fmt: skip

# By the name of the folder: the classes of the model and of its configuration, and what the latter is told.
KINDS = {
    "llama": ("Llama", dict(DENSE, head_dim=12, rope_parameters=LLAMA3, tie_word_embeddings=False)),
    "qwen2": ("Qwen2", dict(DENSE, tie_word_embeddings=True)),
    "qwen3": ("Qwen3", dict(DENSE, head_dim=16, tie_word_embeddings=False)),
    "qwen3_5_text": ("Qwen3_5", dict(HYBRID, rope_parameters=TURNS, tie_word_embeddings=True)),
    "qwen3_5": ("Qwen3_5", dict(HYBRID, rope_parameters=TURNS, tie_word_embeddings=True)),
    "qwen3_next": ("Qwen3Next", dict(HYBRID, **MIXTURE, rope_parameters=TURNS)),
}

# The adapters that PEFT makes for each model: every way to say which modules, how large, and how strong.
ADAPTERS = {
    "list": dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "out_proj", "down_proj"]),
    "patterns": dict(
        r=4,
        lora_alpha=6,
        use_rslora=True,
        target_modules=["q_proj", "o_proj", "out_proj", "up_proj"],
        rank_pattern={"q_proj": 2},
        alpha_pattern={r"layers\.0\..*": 3},
    ),
    "expression": dict(
        r=2,
        lora_alpha=8,
        target_modules=r".*\.(self_attn|linear_attn)\..*_proj.*",
        exclude_modules=["v_proj"],
    ),
    "all_linear": dict(r=3, lora_alpha=5, target_modules="all-linear", lora_dropout=0.1),
    "layers": dict(
        r=3,
        lora_alpha=5,
        target_modules=["q_proj", "down_proj", "in_proj_qkv", "in_proj_qkvz"],
        layers_to_transform=[0, 2],
        layers_pattern="layers",
    ),
}


def adapters_for(kind):
    """The adapters for a model.

    Of Qwen3-Next PEFT takes every name in a feed-forward part for that of an expert, the shared one's too, and adapts all
    experts of a layer as one array, in a form of its own: those are left out. So is the part of a model that sees.
    """
    for name, settings in ADAPTERS.items():
        targets = settings["target_modules"]
        if kind == "qwen3_next":
            if isinstance(targets, list):
                targets = [end for end in targets if end not in ("up_proj", "down_proj")]
            elif targets == "all-linear":
                targets = r".*\.(self_attn|linear_attn)\..*_(proj|proj_ba|proj_qkvz)"
        if kind == "qwen3_5" and targets == "all-linear":
            settings = dict(settings, exclude_modules=r".*\.visual\..*")
        yield name, dict(settings, target_modules=targets)


class Wide(TorchFunctionMode):
    """While it is active, what asks for f32 is given f64: models say f32 in places where that is the wider type."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            function = torch.Tensor.double

        def widened(value):
            return torch.float64 if value is torch.float32 else value

        kwargs = {name: widened(value) for name, value in (kwargs or {}).items()}
        return function(*map(widened, args), **kwargs)


@contextlib.contextmanager
def wide():
    torch.set_default_dtype(torch.float64)
    try:
        with Wide():
            yield
    finally:
        torch.set_default_dtype(torch.float32)


def made(kind):
    """A random model. What random models have as zeros or ones is random too, so that its place matters.

    Gated delta nets of transformers begin with rates of forgetting up to 16, which leave nothing of a state after one token:
    what they give is next to nothing, and its norm makes noise of it. A change of 1e-15 of the adapters grew to 3e-7 of the
    losses within PEFT's own 20 steps. Rates of models that are used remember, and so do these.
    """
    name, settings = KINDS[kind]
    if kind == "qwen3_5":
        config = transformers.Qwen3_5Config(
            text_config=dict(SHAPE, **settings),
            vision_config=VISION,
            tie_word_embeddings=True,
            image_token_id=250,
            video_token_id=251,
            vision_start_token_id=252,
            vision_end_token_id=253,
        )
        model = transformers.Qwen3_5ForConditionalGeneration(config)
    else:
        suffix = "TextConfig" if name == "Qwen3_5" else "Config"
        config = getattr(transformers, name + suffix)(**SHAPE, **settings)
        model = getattr(transformers, name + "ForCausalLM")(config)
    with torch.no_grad():
        for name, numbers in model.named_parameters():
            if "visual" in name:
                continue
            if "norm" in name:
                numbers.add_(torch.randn_like(numbers) * 0.2)
            elif name.endswith("A_log"):
                numbers.uniform_(-4, 0)
            elif name.endswith("bias"):
                numbers.normal_(0, 0.3)
    return model


def opened(folder):
    config = json.loads((folder / "base" / "config.json").read_text())
    model = getattr(transformers, config["architectures"][0])
    return model.from_pretrained(folder / "base", dtype=torch.float32, attn_implementation="eager").eval()


def opened_wide(folder):
    """The same numbers in f64, with tables that were computed in it."""
    model = opened(folder)
    with wide():
        result = type(model)(model.config).eval()
    result.load_state_dict(model.state_dict())
    return result


def with_adapters(model, adapters, **more):
    return PeftModel.from_pretrained(model, adapters, **more).eval()


def logits(model, tokens):
    with torch.no_grad():
        return model(input_ids=tokens, use_cache=False).logits.flatten().tolist()


def losses_of_training(folder, adapters, batches):
    """The loss before each step of AdamW on the adapters alone, in f64."""
    model = with_adapters(opened_wide(folder), adapters, is_trainable=True).double()
    learning = [numbers for numbers in model.parameters() if numbers.requires_grad]
    settings = {name: ADAMW[name] for name in ("lr", "betas", "eps", "weight_decay", "amsgrad")}
    optimiser = torch.optim.AdamW(learning, **settings)
    losses = []
    with wide():
        for step in range(ADAMW["steps"]):
            batch = batches[step % len(batches)]
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses


def make(folder):
    for number, kind in enumerate(KINDS):
        torch.manual_seed(number)
        place = folder / kind
        made(kind).save_pretrained(place / "base")
        tokens = torch.randint(0, 256, (2, 70))
        batches = torch.randint(0, 256, (3, 2, 24))
        found = {}
        for name, settings in adapters_for(kind):
            config = LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **settings)
            model = get_peft_model(opened(place), config).eval()
            model.save_pretrained(place / f"adapter-{name}")
            found[name] = logits(model, tokens)
        learnt = "all_linear"
        result = dict(
            tokens=tokens.tolist(),
            base=logits(opened(place), tokens),
            adapters=found,
            training=dict(
                adapter=learnt,
                adamw=ADAMW,
                batches=batches.tolist(),
                losses=losses_of_training(place, place / f"adapter-{learnt}", batches),
            ),
        )
        (place / "made.json").write_text(json.dumps(result))
        print(kind, flush=True)


def held_out_loss(model, text):
    """The mean loss over every byte of a text but the first, in windows that begin one after the other."""
    total, count = 0.0, len(text) - 1
    for start in range(0, count, WINDOW):
        window = torch.tensor([list(text[start : start + WINDOW + 1])])
        with torch.no_grad():
            scores = model(input_ids=window[:, :-1], use_cache=False).logits[0]
        loss = torch.nn.functional.cross_entropy(scores, window[0, 1:], reduction="sum")
        total += loss.item()
    return total / count


def attempt(compute):
    """What was computed, or why it was not."""
    try:
        return compute()
    except Exception as problem:
        return dict(error=f"{type(problem).__name__}: {problem}")


def read(folder):
    # Of adapters that are missing from a file there is only a warning.
    warnings.filterwarnings("error", message=".*missing adapter keys.*")
    text = (folder / "held_out.txt").read_bytes()
    for kind in KINDS:
        place = folder / kind
        tokens = torch.tensor(json.loads((place / "made.json").read_text())["tokens"])
        found = dict(
            ours=attempt(lambda: logits(with_adapters(opened(place), place / "ours"), tokens)),
            base=attempt(lambda: held_out_loss(opened(place), text)),
            tuned=attempt(lambda: held_out_loss(with_adapters(opened(place), place / "tuned" / "adapter"), text)),
        )
        (place / "read.json").write_text(json.dumps(found))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    {"make": make, "read": read}[sys.argv[1]](pathlib.Path(sys.argv[2]))
