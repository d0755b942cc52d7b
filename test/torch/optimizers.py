"""Runs optimizers in PyTorch for test/torch/main.ts: python optimizers.py run|finish FOLDER CASE"""
import json, sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers.optimization import Adafactor, AdafactorSchedule, get_linear_schedule_with_warmup

SHAPES = [(4, 6), (5,), (2, 3, 4), ()]
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def values(count, step, index):
    k = torch.arange(count, dtype=torch.int64)
    return (((k * 31 + step * 17 + index * 7) % 101).to(torch.float64) / 101 - 0.5).to(torch.float32)


def build(case):
    dtype = DTYPES[case["dtype"]]
    parameters = []
    for i, shape in enumerate(SHAPES):
        count = torch.Size(shape).numel()
        parameters.append(torch.nn.Parameter(values(count, 0, i).reshape(shape).to(dtype)))
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in case["options"].items()}
    optimizer = (torch.optim.AdamW if case["optimizer"] == "AdamW" else Adafactor)(parameters, **options)
    if case["schedule"] == "adafactor":
        scheduler = AdafactorSchedule(optimizer)
    else:
        scheduler = get_linear_schedule_with_warmup(optimizer, 2, 10)
    return parameters, optimizer, scheduler


def advance(parameters, optimizer, scheduler, first, last):
    for step in range(first, last):
        for i, p in enumerate(parameters):
            p.grad = values(p.numel(), step, i).reshape(p.shape).to(p.dtype)
        optimizer.step()
        scheduler.step()


def write(folder, parameters, optimizer, scheduler):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"p{i}": p.detach().clone() for i, p in enumerate(parameters)}, folder / "model.safetensors")
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")


def read(folder, parameters, optimizer, scheduler):
    for name, tensor in load_file(folder / "model.safetensors").items():
        parameters[int(name[1:])].data.copy_(tensor)
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))
    scheduler.load_state_dict(torch.load(folder / "scheduler.pt", weights_only=True))


command, folder = sys.argv[1], Path(sys.argv[2])
for case in json.loads((folder / "cases.json").read_text()):
    run = build(case)
    here = folder / case["name"]
    if command == "run":
        advance(*run, 1, 6)
        write(here / "python-5", *run)
        advance(*run, 6, 11)
        write(here / "python-10", *run)
    else:
        read(here / "js-5", *run)
        advance(*run, 6, 11)
        write(here / "js-python-10", *run)
print("done")
