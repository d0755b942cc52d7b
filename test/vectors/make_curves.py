#!/usr/bin/env python3
"""Record what PyTorch's own schedulers do, in double, for the curves of src/schedules/decays.ts.

    pip install torch==2.13.0
    python make_curves.py [--out DIR]

curves/NAME.json
    scheduler, kwargs    the class of torch.optim.lr_scheduler and how it was called
    curve, options       the curve of this library and its options
    base_lrs             learning rates that the curve is a factor of, one per group
    lrs                  [step][group], as PyTorch's scheduler steps
"""
import argparse, json, os, warnings
import torch
from torch.optim import lr_scheduler as L

B = [0.1, 3e-4]


def optimizer(lrs):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs]
    return torch.optim.SGD(groups, lr=lrs[0])


def run(out, name, scheduler, kwargs, curve, options, n, base_lrs=B):
    o = optimizer(base_lrs)
    s = getattr(L, scheduler)(o, **kwargs)
    lrs = [[g["lr"] for g in o.param_groups]]
    for _ in range(n):
        o.step()
        s.step()
        lrs.append([g["lr"] for g in o.param_groups])
    case = {"torch": torch.__version__, "scheduler": scheduler, "kwargs": kwargs, "curve": curve, "options": options,
            "base_lrs": base_lrs, "lrs": lrs}
    with open(os.path.join(out, name + ".json"), "w") as f:
        json.dump(case, f, separators=(",", ":"))
        f.write("\n")


def one_cycle(out, name, n, total, **kw):
    camel = {"pct_start": "pctStart", "anneal_strategy": "annealStrategy", "div_factor": "divFactor",
             "final_div_factor": "finalDivFactor", "three_phase": "threePhase"}
    run(out, name, "OneCycleLR", dict(max_lr=B, total_steps=total, cycle_momentum=False, **kw), "oneCycle",
        dict(totalSteps=total, **{camel[k]: v for k, v in kw.items()}), n)


def curves(out):
    run(out, "step", "StepLR", dict(step_size=3), "step", dict(stepSize=3), 40)
    run(out, "step_gamma", "StepLR", dict(step_size=7, gamma=0.63), "step", dict(stepSize=7, gamma=0.63), 60)
    run(out, "multi_step", "MultiStepLR", dict(milestones=[2, 5, 9]), "multiStep", dict(milestones=[2, 5, 9]), 15)
    run(out, "multi_step_repeated", "MultiStepLR", dict(milestones=[4, 9, 4, 20, 4], gamma=0.7), "multiStep",
        dict(milestones=[4, 9, 4, 20, 4], gamma=0.7), 30)
    run(out, "multi_step_at_0", "MultiStepLR", dict(milestones=[1, 0, 12], gamma=0.5), "multiStep",
        dict(milestones=[1, 0, 12], gamma=0.5), 15)
    run(out, "exponential", "ExponentialLR", dict(gamma=0.9), "exponential", dict(gamma=0.9), 60)
    run(out, "exponential_up", "ExponentialLR", dict(gamma=1.07), "exponential", dict(gamma=1.07), 60)
    run(out, "cosine_annealing", "CosineAnnealingLR", dict(T_max=40), "cosineAnnealing", dict(tMax=40), 40)
    run(out, "cosine_annealing_min", "CosineAnnealingLR", dict(T_max=33, eta_min=0.01), "cosineAnnealing",
        dict(tMax=33, minLrRate=0.1), 33, [0.1])
    one_cycle(out, "one_cycle", 39, 40)
    one_cycle(out, "one_cycle_linear", 29, 30, anneal_strategy="linear", pct_start=0.25, div_factor=10.0,
              final_div_factor=100.0)
    one_cycle(out, "one_cycle_three_phase", 49, 50, three_phase=True, pct_start=0.37, final_div_factor=50.0)
    one_cycle(out, "one_cycle_three_phase_linear", 19, 20, three_phase=True, pct_start=0.4, anneal_strategy="linear")
    one_cycle(out, "one_cycle_down_only", 19, 20, pct_start=0.0)
    one_cycle(out, "one_cycle_up_only", 19, 20, pct_start=1.0)


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "curves"))
    a = ap.parse_args()
    warnings.simplefilter("ignore")
    os.makedirs(a.out, exist_ok=True)
    curves(a.out)
