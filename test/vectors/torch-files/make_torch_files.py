"""
Small files of torch.save in every form that torch.load(weights_only=True) reads, and what is in them.

Usage: python make_torch_files.py    writes VERSION/*.pt and VERSION/expected.json beside this script

Run with torch 2.0.1, 2.5.1 and 2.13.0 (each with numpy); "empties" with 2.13.0 alone. Every file is first read again by torch.load(weights_only=True),
where that release can; names that begin with "refused-" are read by PyTorch and not here.
"""

import collections
import io
import json
import math
import warnings
from pathlib import Path

import torch

warnings.simplefilter("ignore")
VERSION = torch.__version__.split("+")[0]
HERE = Path(__file__).resolve().parent / VERSION
HERE.mkdir(exist_ok=True)
NUMBERS = {torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool}
WIDENED = {torch.int8, torch.int16, torch.int32}


def number(x):
    """A float as JSON can have it."""
    return x if math.isfinite(x) else {math.inf: "inf", -math.inf: "-inf"}.get(x, "nan")


def tensor(t):
    t = t.detach().resolve_conj().resolve_neg().contiguous()
    name = str(t.dtype).removeprefix("torch.")
    shape = list(t.shape)
    if t.dtype in WIDENED:
        return {"t": "int64", "shape": shape, "v": [str(x) for x in t.flatten().tolist()]}
    if t.dtype == torch.int64:
        return {"t": name, "shape": shape, "v": [str(x) for x in t.flatten().tolist()]}
    if t.dtype in NUMBERS:
        return {"t": name, "shape": shape, "v": [number(float(x)) for x in t.flatten().tolist()]}
    raw = bytes(t.flatten().view(torch.uint8).tolist()) if t.numel() else b""
    return {"t": name, "shape": shape, "raw": raw.hex()}


def plain(x):
    """What decodeTorch should give, in JSON."""
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, int):
        return {"i": str(x)}
    if isinstance(x, float):
        return {"f": number(x)}
    if isinstance(x, complex):
        return tensor(torch.tensor(x, dtype=torch.complex128))
    if isinstance(x, (bytes, bytearray)):
        return {"b": bytes(x).hex()}
    if isinstance(x, torch.Tensor):
        return tensor(x)
    if isinstance(x, torch.storage.UntypedStorage):
        return tensor(torch.tensor(list(x), dtype=torch.uint8))
    if isinstance(x, torch.storage.TypedStorage):
        return tensor(torch.tensor(list(x), dtype=x.dtype))
    if isinstance(x, (torch.device, torch.dtype, torch.layout)):
        return str(x)
    if isinstance(x, dict):
        return {"d": [[k if isinstance(k, str) else repr(k), plain(v)] for k, v in x.items()]}
    if isinstance(x, (list, tuple, set)):
        return [plain(v) for v in x]
    raise TypeError(type(x))


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(4, 3)
        self.norm = torch.nn.BatchNorm1d(3)
        self.head = torch.nn.Linear(3, 4, bias=False)
        self.head.weight = self.embed.weight


torch.manual_seed(0)
model = Model()
optimizer = torch.optim.AdamW(
    [{"params": [model.embed.weight], "weight_decay": 0.1}, {"params": list(model.norm.parameters()), "lr": 1}],
    lr=1e-3, betas=(0.9, 0.99),
)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 3, 5], gamma=0.5)
for _ in range(2):
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer.step()
    scheduler.step()

base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
complexes = torch.tensor([1 + 2j, -3 - 4j, 5j])
attributed = torch.arange(3.0)
attributed.note = "kept by PyTorch"
parameter = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
noted = torch.nn.Parameter(torch.tensor([3.0]))
noted.note = [1, 2]
ALL = (
    "float16 bfloat16 float32 float64 uint8 int8 int16 int32 int64 bool complex32 complex64 complex128 uint16 uint32 "
    "uint64 float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2 bits8 bits16"
).split()


def of_type(name):
    """Six elements, made of bytes, since not every format has conversions."""
    dtype = getattr(torch, name)
    size = torch.empty(0, dtype=dtype).element_size()
    if dtype == torch.bool:
        return torch.tensor([True, False, True, False, False, True]).reshape(2, 3)
    pattern = torch.tensor([(k * 37 + 11) % 120 for k in range(6 * size)], dtype=torch.uint8)
    return pattern.view(dtype).reshape(2, 3)


def types():
    found = {}
    for name in ALL:
        if not hasattr(torch, name):
            continue
        try:
            found[name] = of_type(name)
            torch.save(found[name], io.BytesIO())
        except (RuntimeError, TypeError, KeyError):
            found.pop(name, None)  # this release cannot make it, or cannot save it
    return found


checkpoint = {
    "epoch": 3,
    "best": 0.25,
    "model": model.state_dict(),
    "optimizer": optimizer.state_dict(),
    "scheduler": scheduler.state_dict(),
}
views = {
    "base": base,
    "row": base[1],
    "column": base[:, 2],
    "block": base[1:3, 2:5],
    "turned": base.t(),
    "turned_block": base[1:, 1:].t(),
    "channels_last": torch.arange(48, dtype=torch.float32).reshape(2, 2, 3, 4).to(memory_format=torch.channels_last),
    "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 5),
    "scalar": base[2, 3],
    "empty": base[:0],
    "every_other": torch.arange(10, dtype=torch.int16)[::2],
    "half": torch.arange(6, dtype=torch.float64).to(torch.bfloat16).reshape(2, 3).t(),
    "double": torch.arange(6, dtype=torch.float64).reshape(2, 3).t(),
    "int8": torch.tensor([-128, 127, -1, 0], dtype=torch.int8),
    "nine": torch.arange(4.0).reshape(1, 1, 1, 2, 1, 1, 1, 2, 1),
}
signs = {
    "negative": torch._neg_view(base),
    "negative_row": torch._neg_view(base[1, ::2]),
    "negative_int": torch._neg_view(torch.tensor([1, -5, 2**40])),
    "negative_int8": torch._neg_view(torch.tensor([1, -128, 127], dtype=torch.int8)),
    "negative_uint8": torch._neg_view(torch.tensor([0, 1, 255], dtype=torch.uint8)),
    "negative_bf16": torch._neg_view(torch.tensor([1.5, -0.0], dtype=torch.bfloat16)),
    "conjugate": complexes.conj(),
    "conjugate_double": complexes.to(torch.complex128).conj(),
    "both": torch._neg_view(complexes.conj()),
}
# Of a conjugated tensor's own memory, as float32: lazily negated.
imaginary = complexes.clone().conj().imag
# What has no elements: slices behind the end of a memory without bytes, which has no format either.
nothing = torch.empty(0, 2, dtype=torch.complex64)
empties = {
    "column": torch.empty(0, 3)[:, 1:],
    "row": torch.empty(3, 0, dtype=torch.uint16)[2:],
    "turned": torch.empty(0, 3, 2).permute(2, 0, 1)[1:],
    "complex": nothing,
    "real": nothing.real,
    "part": nothing.imag[:, 1:],
    "negative": torch._neg_view(torch.empty(0, 2))[:, 1],
}
values = {
    "size": torch.Size([2, 3]),
    "counter": collections.Counter({30: 1, 80: 2}),
    "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
    "set": {7},
    "empty_set": set(),
    "bytes": bytes(range(256)),
    "bytearray": bytearray(b"\x00\xff"),
    "empty_bytearray": bytearray(),
    "complex": 1.5 - 2j,
    "ints": [2**53 - 1, 2**53, -(2**53), 2**63 - 1, -(2**63), 2**64, 2**200, -(2**200)],
    "floats": [1.0, 2.0**53, 1e300, math.inf, -0.0],
    "device": torch.device("cuda:1"),
    "dtype": torch.bfloat16,
    "layout": torch.strided,
    "text": "half \ud83d pair, null \0, \u00e4\U0001f600",
    "keys": {0: "int", "name": "str", (1, "a"): "tuple", None: "none", 2.5: "float", "__proto__": "own"},
    "nothing": None,
    "tuple": (1, (2, (3,)), ()),
}

files = {
    "model": (model.state_dict(), {}),
    "checkpoint": (checkpoint, {}),
    "lightning": (
        {
            "epoch": 1, "global_step": 20, "pytorch-lightning_version": "2.5.0", "state_dict": model.state_dict(),
            "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 2}}}},
            "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5), "kth_value": None}},
            "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [scheduler.state_dict()],
        },
        {},
    ),
    "parameter": ({"weight": parameter, "noted": noted, "list": torch.nn.ParameterList([parameter]).state_dict()}, {}),
    "values": (values, {}),
    "types": (types(), {}),
    "views": (views, {}),
    "signs": (signs, {}),
    "imaginary": (imaginary, {}),
    "empties": (empties, {}),
    "attributed": ({"tensor": attributed}, {}),
    "storage": ([torch.tensor([1.0, 2.0]).storage(), torch.tensor([3, 4], dtype=torch.int16).untyped_storage()], {}),
    "protocol3": ({key: value for key, value in checkpoint.items()}, {"pickle_protocol": 3}),
    "protocol4": ({"model": model.state_dict(), "bytes": b"\x00\xff", "set": {1}}, {"pickle_protocol": 4}),
    "protocol5": ({"model": model.state_dict(), "bytearray": bytearray(b"\x01"), "set": {1}}, {"pickle_protocol": 5}),
}
for name in ("model", "checkpoint", "views", "signs", "values", "parameter", "empties"):
    files[f"legacy-{name}"] = (files[name][0], {"_use_new_zipfile_serialization": False})
refused = {
    "refused-sparse": torch.eye(2).to_sparse(),
    "refused-csr": torch.eye(2).to_sparse_csr(),
    "refused-quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "refused-meta": torch.ones(2, device="meta"),
}

expected = {}
for name, (value, options) in files.items():
    path = HERE / f"{name}.pt"
    torch.save(value, path, **options)
    try:
        torch.load(path, weights_only=True)
    except Exception as error:
        print(VERSION, name, "torch.load:", str(error).strip().splitlines()[-1][:120])
    expected[name] = plain(value)
for name, value in refused.items():
    try:
        torch.save(value, HERE / f"{name}.pt")
        torch.load(HERE / f"{name}.pt", weights_only=True)
    except Exception as error:
        print(VERSION, name, str(error).strip().splitlines()[0][:120])
(HERE / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
