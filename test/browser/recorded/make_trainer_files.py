"""Files of a real Trainer run, for the explorer to be shown: linear decay after a warm-up, every rate logged.

    pip install torch transformers accelerate
    python test/browser/recorded/make_trainer_files.py

Writes trainer_state.json and scheduler.pt of the last checkpoint beside itself.
"""
import pathlib
import shutil
import tempfile

import torch
from transformers import Trainer, TrainingArguments

here = pathlib.Path(__file__).parent


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x, labels):
        return {"loss": ((self.layer(x) - labels) ** 2).mean()}


torch.manual_seed(0)
data = [{"x": torch.randn(3), "labels": torch.randn(1)} for _ in range(64)]
with tempfile.TemporaryDirectory() as out:
    arguments = TrainingArguments(
        out,
        max_steps=60,
        learning_rate=3e-4,
        warmup_steps=12,
        lr_scheduler_type="linear",
        logging_steps=3,
        save_steps=45,
        report_to=[],
        use_cpu=True,
    )
    Trainer(Model(), arguments, train_dataset=data).train()
    shutil.copy(f"{out}/checkpoint-60/trainer_state.json", here)
    shutil.copy(f"{out}/checkpoint-45/scheduler.pt", here)
