#!/usr/bin/env python3
"""Record state dicts of schedulers as the running release of PyTorch writes them.

    pip install torch==2.0.1      (and 2.5.1, and 2.13.0)
    python make_scheduler_states.py [--out DIR]

states/torch-VERSION.json
    plateau   ReduceLROnPlateau: kwargs, metrics, lrs [step][group], and the dicts `before` any step, `at` a step in the
              middle, and `grown`: at the same step, but with a third group that was added with add_param_group before it
    grown     what follows for three groups: lrs after `grown`, metrics as above
    kinds     the dicts of every other scheduler: they are refused by name
Infinities stand as the strings "inf" and "-inf".
"""
import argparse, json, math, os, warnings
import torch
from torch.optim import lr_scheduler as L
from torch.optim.swa_utils import SWALR

METRICS = [1.0, 0.9, 0.9, 0.95, 0.9, 0.8, 0.81, 0.82, 0.8, 0.79999, 0.8, 0.5, 0.6, 0.6, 0.6, 0.6]
AT = 6


def group(lr):
    return {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr}


def optimizer(lrs=(0.1, 3e-4)):
    return torch.optim.SGD([group(lr) for lr in lrs], lr=lrs[0], momentum=0.9)


def plain(x):
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items() if not callable(v)}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    if isinstance(x, float) and not math.isfinite(x):
        return str(x)
    return x if x is None or isinstance(x, (bool, int, float, str)) else str(x)


def plateau():
    kwargs = dict(patience=1, factor=0.5, cooldown=1, min_lr=1e-4)
    o = optimizer()
    s = L.ReduceLROnPlateau(o, **kwargs)
    case = {"kwargs": kwargs, "metrics": METRICS, "before": plain(s.state_dict()), "lrs": [[g["lr"] for g in o.param_groups]]}
    for i, m in enumerate(METRICS):
        s.step(m)
        case["lrs"].append([g["lr"] for g in o.param_groups])
        if i + 1 == AT:
            case["at"] = plain(s.state_dict())
    o = optimizer()
    s = L.ReduceLROnPlateau(o, **kwargs)
    for m in METRICS[:AT]:
        s.step(m)
    o.add_param_group(group(0.2))
    grown = {"state": plain(s.state_dict()), "lrs": [[g["lr"] for g in o.param_groups]]}
    if hasattr(s, "default_min_lr"):  # older ones fail at the next reduction
        for m in METRICS[AT:]:
            s.step(m)
            grown["lrs"].append([g["lr"] for g in o.param_groups])
    case["at_step"], case["grown"] = AT, grown
    return case


def kinds():
    made = {
        "StepLR": lambda o: L.StepLR(o, 3),
        "MultiStepLR": lambda o: L.MultiStepLR(o, [2, 3, 3]),
        "ConstantLR": lambda o: L.ConstantLR(o),
        "LinearLR": lambda o: L.LinearLR(o),
        "ExponentialLR": lambda o: L.ExponentialLR(o, 0.9),
        "PolynomialLR": lambda o: L.PolynomialLR(o),
        "CosineAnnealingLR": lambda o: L.CosineAnnealingLR(o, 5),
        "CosineAnnealingWarmRestarts": lambda o: L.CosineAnnealingWarmRestarts(o, 3),
        "CyclicLR": lambda o: L.CyclicLR(o, 0.1, 0.2),
        "OneCycleLR": lambda o: L.OneCycleLR(o, 0.3, total_steps=10),
        "SWALR": lambda o: SWALR(o, 0.1),
        "SequentialLR": lambda o: L.SequentialLR(o, [L.StepLR(o, 3), L.ExponentialLR(o, 0.9)], [3]),
        "ChainedScheduler": lambda o: L.ChainedScheduler([L.StepLR(o, 3), L.ExponentialLR(o, 0.9)]),
    }
    return {name: plain(make(optimizer()).state_dict()) for name, make in made.items()}


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "states"))
    a = ap.parse_args()
    warnings.simplefilter("ignore")
    os.makedirs(a.out, exist_ok=True)
    version = torch.__version__.split("+")[0]
    with open(os.path.join(a.out, f"torch-{version}.json"), "w") as f:
        json.dump({"torch": version, "plateau": plateau(), "kinds": kinds()}, f, separators=(",", ":"))
        f.write("\n")
