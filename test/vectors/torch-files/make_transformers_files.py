"""Optimizer files of an old transformers: its own AdamW (with correct_bias, gone in version 5) and Adafactor.

    pip install torch==2.0.1 transformers==4.30.2 "numpy<2"
    python test/vectors/torch-files/make_transformers_files.py OUT

Writes adamw.pt, adafactor.pt after three steps, and runs.json: weights before, gradients, weights after these steps
and after three more with the state that was saved.
"""
import json
import pathlib
import sys

import torch
import transformers
from transformers.optimization import Adafactor, AdamW

out = pathlib.Path(sys.argv[1])
runs = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
KINDS = {
    "adamw": lambda params: AdamW(params, lr=1e-2, weight_decay=0.1, correct_bias=False, no_deprecation_warning=True),
    "adafactor": lambda params: Adafactor(params, lr=1e-2, relative_step=False, scale_parameter=False, beta1=0.9),
}
for name, make in KINDS.items():
    torch.manual_seed(7)
    params = [torch.nn.Parameter(torch.randn(4, 3)), torch.nn.Parameter(torch.randn(5))]
    optimizer = make(params)
    run = {"start": [p.detach().flatten().tolist() for p in params], "grads": [], "after": []}
    for step in range(6):
        for p in params:
            p.grad = torch.randn_like(p)
        run["grads"].append([p.grad.flatten().tolist() for p in params])
        optimizer.step()
        if step in (2, 5):
            run["after"].append([p.detach().flatten().tolist() for p in params])
        if step == 2:
            torch.save(optimizer.state_dict(), out / f"{name}.pt")
    runs[name] = run
(out / "runs.json").write_text(json.dumps(runs) + "\n")
