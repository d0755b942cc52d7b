"""
Trains from a checkpoint, alone or under torchrun, and writes the losses: distributed.py MODE OPTIMIZER FOLDER

MODE: single, ddp, fsdp; or record, which makes the gradients of the first steps. OPTIMIZER: adamw or adafactor.
"""
import json, os, sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from transformers.optimization import Adafactor

mode, kind, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
distributed = mode in ("ddp", "fsdp")
if distributed:
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
rank, world = (dist.get_rank(), dist.get_world_size()) if distributed else (0, 1)
torch.set_num_threads(1)
torch.manual_seed(1)
model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
if mode != "record":
    model.load_state_dict(load_file(folder / "model.safetensors"))


def make(parameters):
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=1e-2)
    return Adafactor(parameters, lr=1e-2, relative_step=False, scale_parameter=False)


def batch(step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 6, generator=generator)
    return x, x[:, :4] * 2 - 1


def loss_of(step):
    x, y = batch(step)
    share = 16 // world
    part = slice(rank * share, (rank + 1) * share)
    return torch.nn.functional.mse_loss(net(x[part]), y[part])


net = model
if mode == "ddp":
    net = torch.nn.parallel.DistributedDataParallel(model)
if mode == "fsdp":
    from torch.distributed.fsdp import fully_shard

    for layer in model:
        if isinstance(layer, torch.nn.Linear):
            fully_shard(layer)
    fully_shard(model)
optimizer = make(net.parameters())

if mode in ("single", "ddp"):
    optimizer.load_state_dict(torch.load(folder / "optimizer.pt", weights_only=True))
if mode == "fsdp":
    # docs/pytorch.md: the state is keyed by names, and Adafactor's is laid out beforehand.
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_optimizer_state_dict
    from torch.distributed.tensor import Replicate, distribute_tensor

    if kind == "adafactor":
        for p in net.parameters():
            mesh = p.device_mesh
            zeros = lambda *shape: distribute_tensor(torch.zeros(*shape), mesh, [Replicate()])
            state = optimizer.state[p]
            state["step"], state["RMS"] = 0, torch.tensor(0.0)
            if p.dim() > 1:
                state["exp_avg_sq_row"] = zeros(*p.shape[:-1])
                state["exp_avg_sq_col"] = zeros(*p.shape[:-2], p.shape[-1])
            else:
                state["exp_avg_sq"] = torch.zeros_like(p)
    named = torch.load(folder / "optimizer-named.pt", weights_only=True)
    set_optimizer_state_dict(net, optimizer, named, options=StateDictOptions(full_state_dict=True))

losses = []
first, last = (1, 6) if mode == "record" else (6, 12)
for step in range(first, last):
    optimizer.zero_grad()
    loss = loss_of(step)
    loss.backward()
    if mode == "record":
        save_file({name: p.grad.clone() for name, p in model.named_parameters()}, folder / f"gradients-{step}.safetensors")
    optimizer.step()
    mean = loss.detach().clone()
    if distributed:
        dist.all_reduce(mean)
        mean /= world
    losses.append(mean.item())
    if mode == "record" and step == 1:
        pass
if mode == "record":
    torch.manual_seed(1)
    start = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    save_file(dict(start.state_dict()), folder / "start.safetensors")
if rank == 0:
    (folder / f"losses-{mode}.json").write_text(json.dumps(losses))
if distributed:
    dist.destroy_process_group()
os._exit(0)
