"""Judges the files that test/torch/forms.ts has written: forms.py FOLDER

FOLDER has PyTorch's own files of test/vectors/torch-files/make_torch_files.py in a folder named after the release, what this
library made of each in mine/, and general checkpoints in checkpoints/.
"""
import sys
import warnings
from collections import Counter
from pathlib import Path

import torch

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
version = torch.__version__.split("+")[0]


def plain(x):
    """What this library can tell apart: no tuples, sets, Parameters, narrow ints; keys are texts."""
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg().contiguous()
        return x.to(torch.int64) if x.dtype in (torch.int8, torch.int16, torch.int32) else x
    if isinstance(x, torch.storage.UntypedStorage):
        return torch.tensor(list(x), dtype=torch.uint8)
    if isinstance(x, torch.storage.TypedStorage):
        return torch.tensor(list(x), dtype=x.dtype)
    if isinstance(x, complex):
        return torch.tensor(x, dtype=torch.complex128)
    if isinstance(x, (torch.device, torch.dtype, torch.layout)):
        return str(x)
    if isinstance(x, bytearray):
        return bytes(x)
    if isinstance(x, dict):
        return {k if isinstance(k, str) else repr(k): plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, set)):
        return [plain(v) for v in x]
    return x


def bits(x):
    # Tensors with up to one element count as contiguous whatever their stride, which view does not take.
    return x.contiguous().as_strided((x.numel(),), (1,)).view(torch.uint8).tolist()


def same(a, b, at):
    # JavaScript does not tell 1.0 from 1: elsewhere than in groups a whole number is written as an int.
    assert type(a) is type(b) or ({type(a), type(b)} == {int, float} and a == b), (at, type(a), type(b))
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape, (at, a.dtype, b.dtype, a.shape, b.shape)
        assert bits(a) == bits(b), at
    elif isinstance(a, dict):
        assert sorted(a) == sorted(b), (at, sorted(a), sorted(b))
        for k in a:
            same(a[k], b[k], f"{at}.{k}")
    elif isinstance(a, list):
        assert len(a) == len(b), at
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{at}[{i}]")
    else:
        assert a == b or (a != a and b != b), (at, a, b)


count = 0
for path in sorted((folder / "mine").glob("*.pt")):
    try:
        theirs = torch.load(folder / version / path.name, weights_only=False)
    except AttributeError as error:
        # Legacy files with an untyped storage: PyTorch writes them and cannot read them.
        print(f"{path.name} is not compared: {error}")
        continue
    mine = torch.load(path, weights_only=True)["value"]
    same(plain(theirs), plain(mine), path.stem)
    count += 1
print(f"{count} files of PyTorch, read and written here, are what they were")

# What tells a checkpoint that resumes from one that only loads: keys, tuples, floats, step tensors, Counters.
for path in sorted((folder / "checkpoints").glob("*.pt")):
    checkpoint = torch.load(path, weights_only=True)
    state = checkpoint["nested"][0]["optimizer"]
    reference = torch.load(folder / version / "checkpoint.pt", weights_only=False)
    assert list(state["state"]) == [0, 1, 2], list(state["state"])
    for group, wanted in zip(state["param_groups"], reference["optimizer"]["param_groups"]):
        for key, value in wanted.items():
            assert type(group[key]) is type(value) or key.endswith("lr"), (path.name, key, group[key], value)
        assert type(group["lr"]) is float and type(group["betas"]) is tuple
    for entry in state["state"].values():
        assert entry["step"].dtype == torch.float32 and entry["step"].shape == ()
    assert type(checkpoint["scheduler"]["milestones"]) is Counter and list(checkpoint["scheduler"]["milestones"]) == [3, 5]

    def run(dicts):
        """Three steps from a checkpoint's weights, its optimizer and its scheduler."""
        model = torch.nn.ModuleDict({"embed": torch.nn.Embedding(4, 3), "norm": torch.nn.BatchNorm1d(3)})
        model.load_state_dict({k: v for k, v in dicts["model"].items() if not k.startswith("head")})
        groups = [{"params": [model["embed"].weight]}, {"params": list(model["norm"].parameters())}]
        optimizer = torch.optim.AdamW(groups)
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1])
        optimizer.load_state_dict(dicts["optimizer"])
        scheduler.load_state_dict(dicts["scheduler"])
        for _ in range(3):
            for p in model.parameters():
                p.grad = torch.full_like(p, 0.5)
            optimizer.step()
            scheduler.step()
        return {**model.state_dict(), "lr": torch.tensor([g["lr"] for g in optimizer.param_groups])}

    same(dict(run(reference)), dict(run({**checkpoint, "optimizer": state})), path.name)
print("general checkpoints resume with the same bits, learning rates and milestones")
