"""The model: name or folder ▸ loaded, with one kind of error; its head, its layers, its adapters.

Light to import: torch and transformers come with the first call. ``output_path`` and ``layers`` (what a forward pass
goes through), ``attention_switch`` and ``adapters`` are imported by themselves.
"""

from lm_eval_xling.models.embedded import EMBEDDED_MODELS, EmbeddedModel, model_folder
from lm_eval_xling.models.head import OutputHead
from lm_eval_xling.models.names import model_path, short_name
from lm_eval_xling.models.pretrained import (
    DTYPES,
    choose_device,
    computes_in_bfloat16,
    load_model,
    load_tokenizer,
    loading,
    torch_dtype,
)

__all__ = [
    "DTYPES",
    "EMBEDDED_MODELS",
    "EmbeddedModel",
    "OutputHead",
    "choose_device",
    "computes_in_bfloat16",
    "load_model",
    "load_tokenizer",
    "loading",
    "model_folder",
    "model_path",
    "short_name",
    "torch_dtype",
]
