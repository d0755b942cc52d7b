"""Which parameters transformers' Trainer decays, for small models of five families built from configs:

    python test/vectors/make_decay_groups.py OUT

Writes decay_groups.json: all parameter names of each model, and those that Trainer gives weight decay.
Recorded with torch 2.13.0 and transformers 5.24.0.
"""
import json
import sys

import transformers
from transformers import (
    BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM,
    T5Config, T5ForConditionalGeneration, Trainer, ViTConfig, ViTForImageClassification,
)

small = dict(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16)
models = {
    "bert": BertForSequenceClassification(BertConfig(vocab_size=20, max_position_embeddings=8, **small)),
    "t5": T5ForConditionalGeneration(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=16, num_layers=2, num_heads=2)),
    "gpt2": GPT2LMHeadModel(GPT2Config(vocab_size=20, n_positions=8, n_embd=8, n_layer=2, n_head=2)),
    "llama": LlamaForCausalLM(LlamaConfig(vocab_size=20, num_key_value_heads=2, **small)),
    "vit": ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **small)),
}

out = {"transformers": transformers.__version__, "models": {}}
for name, model in models.items():
    decay = set(Trainer.get_decay_parameter_names(None, model))
    names = [n for n, _ in model.named_parameters()]
    out["models"][name] = {"names": names, "decay": [n for n in names if n in decay]}
with open(f"{sys.argv[1]}/decay_groups.json", "w") as file:
    json.dump(out, file, indent=1)
    file.write("\n")
