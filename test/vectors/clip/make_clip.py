"""What torch.nn.utils.clip_grad_norm_ and clip_grad_value_ do to gradients: writes clip.json beside this file.

    pip install torch==2.13.0 && python test/vectors/clip/make_clip.py

One case per line of `cases`: max_norm and the gradients before and after, base64 of the little-endian bytes (16-bit formats: of their bits),
the returned norm and its type. `value_cases`: clip_value instead.
"""
import base64
import json
import pathlib

import torch

FORMATS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16, "float16": torch.float16}

# name, max_norm, factor on the gradients, format of each parameter, and the norm's type where it is not 2
CASES = [
    ("clipped", 1.0, 1.0, ["float32", "float32"]),
    ("norm just below", 100.0, 1.0, ["float32", "float32"]),
    ("tiny norm, where the epsilon counts", 1e-6, 1e-7, ["float32"]),
    ("no room", 0.0, 1.0, ["float32"]),
    ("all zero", 1.0, 0.0, ["float32"]),
    ("double", 0.5, 1.0, ["float64", "float64"]),
    ("double, the epsilon", 1e-6, 3e-7, ["float64"]),
    ("bfloat16", 1.0, 1.0, ["bfloat16"]),
    ("float16", 1.0, 1.0, ["float16"]),
    ("norm 1", 1.0, 1.0, ["float32", "float32"], 1.0),
    ("norm 3.5", 1.0, 1.0, ["float32", "float32"], 3.5),
    ("norm 0.5, double", 1.0, 1.0, ["float64", "float64"], 0.5),
    ("largest", 1.0, 1.0, ["float32", "float32"], float("inf")),
    ("largest, bfloat16", 1.0, 1.0, ["bfloat16"], float("inf")),
    ("norm 1, float16", 1.0, 0.1, ["float16"], 1.0),
]

# name, clip_value, format
VALUE_CASES = [
    ("float32", 0.1, "float32"),
    ("float64", 0.1, "float64"),
    ("bfloat16", 0.1, "bfloat16"),
    ("float16", 0.1, "float16"),
    ("nothing to clip", 100.0, "float32"),
    ("to zero", 0.0, "bfloat16"),
]
SHAPES = [[4, 5], [7]]


def encode(tensor):
    bits = tensor.view(torch.int16) if tensor.element_size() == 2 else tensor
    return base64.b64encode(bits.numpy().tobytes()).decode()


def main():
    cases = []
    for name, max_norm, factor, formats, *norm_type in CASES:
        generator = torch.Generator().manual_seed(len(cases))
        params = []
        for shape, dtype in zip(SHAPES, formats):
            param = torch.nn.Parameter(torch.zeros(shape, dtype=FORMATS[dtype]))
            param.grad = (torch.randn(shape, generator=generator, dtype=torch.float64) * factor).to(FORMATS[dtype])
            params.append(param)
        before = [encode(p.grad) for p in params]
        norm = torch.nn.utils.clip_grad_norm_(params, max_norm, *norm_type)
        arrays = [
            {"dtype": d, "shape": list(p.shape), "before": b, "after": encode(p.grad)}
            for d, p, b in zip(formats, params, before)
        ]
        kind = {"norm_type": str(norm_type[0])} if norm_type else {}
        cases.append({"name": name, "max_norm": max_norm, **kind, "norm": float(norm), "arrays": arrays})
    value_cases = []
    for name, clip_value, dtype in VALUE_CASES:
        generator = torch.Generator().manual_seed(100 + len(value_cases))
        param = torch.nn.Parameter(torch.zeros(24, dtype=FORMATS[dtype]))
        param.grad = torch.randn(24, generator=generator, dtype=torch.float64).to(FORMATS[dtype])
        param.grad[:4] = torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0])
        before = encode(param.grad)
        torch.nn.utils.clip_grad_value_([param], clip_value)
        value_cases.append(
            {"name": name, "clip_value": clip_value, "dtype": dtype, "before": before, "after": encode(param.grad)}
        )
    path = pathlib.Path(__file__).with_name("clip.json")
    path.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases, "value_cases": value_cases}) + "\n")


main()
