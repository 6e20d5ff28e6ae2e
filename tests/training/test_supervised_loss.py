from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    BloomConfig,
    CohereConfig,
    FalconConfig,
    Gemma2Config,
    GptOssConfig,
    GraniteConfig,
    Llama4TextConfig,
    MptConfig,
    PreTrainedConfig,
    XGLMConfig,
)
from transformers.models.auto import AutoModelForCausalLM

from lm_eval_xling.errors import UserError
from lm_eval_xling.models import OutputHead
from lm_eval_xling.training.batching import Example, PackedCollator, PaddedCollator
from lm_eval_xling.training.configuration import AlignmentConfig, load_config
from lm_eval_xling.training.packed_attention import by_text
from lm_eval_xling.training.supervised_loss import (
    IGNORED,
    LossHead,
    check_structure,
    head_loss,
    keeps_texts_apart,
    supervised_forward,
)
from lm_eval_xling.training.trainable import load_model
from tests import tiny
from tests.precision import assert_equal_up_to_rounding

ARCHITECTURES = ["llama", "qwen2", "gemma3", "mistral", "gpt_neox"]


def examples() -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    made: list[Example] = []
    for prompt, target in ((25, 9), (7, 30), (3, 2), (40, 1)):
        ids = torch.randint(0, 256, (prompt + target,), generator=generator).tolist()
        labels = [IGNORED] * prompt + ids[prompt:]
        made.append(Example(input_ids=ids, labels=labels, position_ids=list(range(len(ids)))))
    return made


def gradients(model: nn.Module, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("layout", ["packed, text by text", "packed, with masks", "padded"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_every_gradient_equal_the_models_own(architecture: str, layout: str) -> None:
    """Full fine-tuning: the output head and, where tied, the embeddings get their gradient too."""
    model = tiny.model(architecture)
    packed = layout != "padded"
    if layout == "packed, with masks":
        model.set_attn_implementation("eager")
    with by_text(model, model.device) as used:
        assert used == (layout != "packed, with masks")
    reference_batch = PaddedCollator(258)(examples())
    expected = model(**reference_batch).loss
    expected_gradients = gradients(model, expected)
    with supervised_forward(model, packed=packed, device=model.device):
        loss = model(**(PackedCollator() if packed else PaddedCollator(258))(examples())).loss
        ours = gradients(model, loss)
    assert_equal_up_to_rounding(loss, expected)
    assert ours.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        assert_equal_up_to_rounding(ours[name], gradient, name=name)


def test_texts_are_apart_by_masks_where_the_model_will_be_on_a_gpu() -> None:
    model = tiny.model("gemma3")
    with by_text(model, torch.device("cuda")) as used:
        assert not used and model.config._attn_implementation == "sdpa"
    assert keeps_texts_apart(model, torch.device("cuda"))


def test_num_items_in_batch_divides_the_sum_and_the_forward_is_given_back() -> None:
    model = tiny.model("llama")
    batch = PaddedCollator(258)(examples())
    own = model.forward
    expected = model(**batch, num_items_in_batch=torch.tensor(100)).loss
    with supervised_forward(model, packed=False, device=model.device):
        output = model(**batch, num_items_in_batch=torch.tensor(100))
    assert_equal_up_to_rounding(output.loss, expected)
    assert "logits" not in output
    assert model.forward == own


class Counted(nn.Linear):
    """A head of float64 that says how many positions it met at a time."""

    def __init__(self) -> None:
        super().__init__(8, 11, dtype=torch.float64)
        self.seen: list[int] = []

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        self.seen.append(len(states))
        return super().forward(states)


def test_chunks_of_a_learning_head_do_not_change_the_sum_and_no_more_than_one_is_alive() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(23, 8, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 11, (23,))
    linear = Counted()
    expected = nn.functional.cross_entropy(linear(hidden), targets, reduction="sum")
    wanted = torch.autograd.grad(expected, [hidden, *linear.parameters()])
    linear.seen.clear()
    loss = head_loss(hidden, targets, LossHead(OutputHead(linear), linear.forward, 11), chunk=5)
    got = torch.autograd.grad(loss * 3, [hidden, *linear.parameters()])
    assert_equal_up_to_rounding(loss, expected)
    assert linear.seen == [5, 5, 5, 5, 3]
    for ours, theirs in zip(got, wanted, strict=True):
        assert_equal_up_to_rounding(ours, theirs * 3)


@pytest.mark.slow
@pytest.mark.parametrize("positions", [1, 16, 23])
@pytest.mark.parametrize("rows", [1, 7, 300, 1000])
@pytest.mark.parametrize(("factor", "cap"), [(1.0, None), (0.25, None), (1.0, 2.0), (-3.0, 0.5)])
@pytest.mark.parametrize("bias", [True, False])
def test_blocks_of_a_frozen_head_give_the_plain_loss_and_gradient(
    positions: int, rows: int, factor: float, cap: float | None, bias: bool
) -> None:
    torch.manual_seed(0)
    hidden = (3 * torch.randn(positions, 8)).requires_grad_()
    targets = torch.randint(0, 300, (positions,))
    linear = nn.Linear(8, 300, bias=bias).requires_grad_(False)
    head = LossHead(OutputHead(linear, factor, cap), linear.forward, 300)
    expected = nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")
    (wanted,) = torch.autograd.grad(expected, hidden)
    loss = head_loss(hidden, targets, head, chunk=rows)
    (got,) = torch.autograd.grad(loss * 3, hidden)
    assert_equal_up_to_rounding(loss, expected)
    assert_equal_up_to_rounding(got, wanted * 3)
    assert linear.weight.grad is None
    with torch.no_grad():
        assert head_loss(hidden, targets, head, chunk=rows).item() == loss.item()


def test_a_frozen_head_never_meets_its_vocabulary_at_once_and_large_logits_do_not_overflow() -> None:
    torch.manual_seed(0)
    hidden = (1e3 * torch.randn(5, 8)).requires_grad_()
    linear = nn.Linear(8, 5000).requires_grad_(False)
    sizes: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and not result._is_view():
                sizes.append(result.numel())
            return result

    targets = torch.randint(0, 5000, (5,))
    with Sizes():
        loss = head_loss(hidden, targets, LossHead(OutputHead(linear), linear.forward, 5000), chunk=100)
    assert max(sizes) == 16 * 100
    expected = nn.functional.cross_entropy(linear(hidden), targets, reduction="sum")
    assert_equal_up_to_rounding(loss, expected)


def test_a_loss_without_targets_is_zero() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(0, 8, requires_grad=True)
    linear = nn.Linear(8, 300).requires_grad_(False)
    loss = head_loss(hidden, torch.zeros(0, dtype=torch.long), LossHead(OutputHead(linear), linear.forward, 300))
    loss.backward()
    assert loss.item() == 0.0
    assert hidden.grad is not None and hidden.grad.shape == (0, 8)


@pytest.mark.parametrize("kind", ["learns", "has an adapter", "is quantised"])
def test_heads_that_are_no_frozen_matrix_take_the_general_way(kind: str) -> None:
    torch.manual_seed(0)
    layer: nn.Module = nn.Linear(8, 300)
    if kind == "has an adapter":
        model = nn.Sequential(layer)
        layer = get_peft_model(model, LoraConfig(target_modules=["0"], init_lora_weights=False)).base_model.model[0]
    elif kind == "is quantised":
        from bitsandbytes.nn import Linear4bit

        quantised = Linear4bit(8, 300, quant_type="nf4")
        quantised.load_state_dict(layer.state_dict())
        layer = quantised.to("cpu")
    head = LossHead(OutputHead(layer), layer.forward, 300)
    assert head.frozen_matrix() is None
    hidden = torch.randn(5, 8, requires_grad=True)
    targets = torch.randint(0, 300, (5,))
    expected = nn.functional.cross_entropy(head.logits(hidden), targets, reduction="sum")
    loss = head_loss(hidden, targets, head)
    assert_equal_up_to_rounding(loss, expected)
    weights = [weight for weight in layer.parameters() if weight.requires_grad]
    for ours, theirs in zip(
        torch.autograd.grad(loss, [hidden, *weights]), torch.autograd.grad(expected, [hidden, *weights]), strict=True
    ):
        assert_equal_up_to_rounding(ours, theirs)


SHAPE = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    "config",
    [
        Gemma2Config(**SHAPE, **HEADS, head_dim=8, final_logit_softcapping=0.05),
        CohereConfig(**SHAPE, **HEADS, logit_scale=0.3, pad_token_id=0),
        GraniteConfig(**SHAPE, **HEADS, logits_scaling=7.0),
    ],
    ids=lambda config: config.model_type,
)
def test_what_an_architecture_does_to_its_logits_is_done(config: object) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    check_structure(model)
    assert keeps_texts_apart(model, model.device)
    batch = PaddedCollator(0)(examples())
    expected = model(**batch).loss
    with supervised_forward(model, packed=False, device=model.device):
        assert_equal_up_to_rounding(model(**batch).loss, expected)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_known_architectures_pass_the_check(architecture: str) -> None:
    check_structure(tiny.model(architecture))
    assert keeps_texts_apart(tiny.model(architecture), torch.device("cpu"))


def test_unknown_architectures_are_refused() -> None:
    doubled = tiny.model("llama")
    own = doubled.forward

    def forward(**inputs: object) -> object:
        output = own(**inputs)
        output.logits = output.logits * 2
        return output

    doubled.forward = forward
    with pytest.raises(UserError, match="does something to its logits"):
        check_structure(doubled)

    leaky = tiny.model("opt")
    decode = leaky.get_decoder().forward

    def without_positions(input_ids: object, position_ids: object = None, **inputs: object) -> object:
        return decode(input_ids=input_ids, **inputs)

    leaky.get_decoder().forward = without_positions
    check_structure(leaky)
    assert not keeps_texts_apart(leaky, leaky.device)


SIZES = {"vocab_size": 260, "bos_token_id": 256, "eos_token_id": 257, "pad_token_id": 258}
MIXTURE = {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2}
WIDE = {**SIZES, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    "config",
    [
        BloomConfig(**SIZES, hidden_size=32, n_layer=2, n_head=4),
        XGLMConfig(**SIZES, d_model=32, ffn_dim=64, num_layers=2, attention_heads=4, max_position_embeddings=512),
        FalconConfig(**WIDE),
        FalconConfig(**WIDE, alibi=True),
        MptConfig(vocab_size=260, d_model=32, n_layers=2, n_heads=4, max_seq_len=512),
        GptOssConfig(**WIDE, **MIXTURE, num_experts_per_tok=1),
        Llama4TextConfig(**WIDE, **MIXTURE, num_experts_per_tok=1, intermediate_size_mlp=64),
    ],
    ids=lambda config: config.model_type,
)
def test_models_that_cannot_keep_texts_apart_get_one_a_row(
    config: PreTrainedConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(tmp_path / "model")
    asked = load_config(
        AlignmentConfig, None, [f"model={tmp_path / 'model'}", "output=x", "lora=null", "training.max_steps=1"]
    )
    model, allowed = load_model(asked, torch.device("cpu"))
    said = capsys.readouterr().out
    if allowed.batching == "packed":
        assert said == "" and config.model_type == "llama4_text"
    else:
        assert "one text a row" in said and said.count("\n") == 1
    packed = allowed.batching == "packed"
    batch = (PackedCollator() if packed else PaddedCollator(258))(examples())
    # Each text alone, by the model's own loss.
    total = count = 0.0
    with torch.no_grad():
        for example in examples():
            n = sum(label != IGNORED for label in example["labels"][1:])
            one = PaddedCollator(258)([example])
            total, count = total + model.eval()(**one).loss.item() * n, count + n
        with supervised_forward(model, packed=packed, device=model.device):
            assert model(**batch).loss.item() == pytest.approx(total / count, rel=1e-4)
