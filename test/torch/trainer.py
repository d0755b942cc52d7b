"""A real transformers.Trainer run for test/torch: python trainer.py record|resume FOLDER OPTIMIZER [CHECKPOINT]"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import PreTrainedConfig, PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

command, folder, optim = sys.argv[1], Path(sys.argv[2]), sys.argv[3]


class Config(PreTrainedConfig):
    model_type = "tiny"


class Tiny(PreTrainedModel):
    config_class = Config

    def __init__(self, config):
        super().__init__(config)
        self.first = torch.nn.Linear(6, 16)
        self.second = torch.nn.Linear(16, 3)
        self.post_init()

    def forward(self, x, labels):
        logits = self.second(torch.relu(self.first(x)))
        return {"loss": torch.nn.functional.cross_entropy(logits, labels), "logits": logits}


class Data(torch.utils.data.Dataset):
    def __init__(self):
        generator = torch.Generator().manual_seed(3)
        self.x = torch.randn(64, 6, generator=generator)
        self.y = (self.x[:, 0] > 0).long() + (self.x[:, 1] > 0).long()

    def __len__(self):
        return 64

    def __getitem__(self, i):
        return {"x": self.x[i], "labels": self.y[i]}


class Record(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
        save_file(gradients, folder / f"gradients-{state.global_step + 1}.safetensors")


class Losses(Trainer):
    losses = []

    def compute_loss(self, *args, **kwargs):
        result = super().compute_loss(*args, **kwargs)
        self.losses.append((result[0] if isinstance(result, tuple) else result).item())
        return result


torch.manual_seed(0)
model = Tiny(Config())
arguments = TrainingArguments(
    output_dir=str(folder / ("trainer" if command == "record" else "again")),
    max_steps=12, save_steps=4, per_device_train_batch_size=8, learning_rate=1e-2, lr_scheduler_type="linear",
    warmup_steps=2, optim=optim, weight_decay=0.01, report_to=[], logging_steps=1, use_cpu=True, disable_tqdm=True, seed=5,
)
trainer = Losses(model=model, args=arguments, train_dataset=Data(), callbacks=[Record()] if command == "record" else [])
trainer.train(resume_from_checkpoint=None if command == "record" else str(folder / (sys.argv[4] if len(sys.argv) > 4 else "js/checkpoint-8")))
save_file({name: p.detach().clone() for name, p in model.named_parameters()}, folder / f"final-{command}.safetensors")
(folder / f"losses-{command}.json").write_text(json.dumps(Losses.losses))
print("done")
