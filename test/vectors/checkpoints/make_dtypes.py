"""dtypes.safetensors: one tensor of every dtype that the reference writer has. safetensors 0.8.0, torch 2.13.0."""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

NAMES = (
    "bool uint8 int8 float8_e5m2 float8_e4m3fn float8_e8m0fnu float8_e4m3fnuz float8_e5m2fnuz int16 uint16 float16 bfloat16 "
    "int32 uint32 float32 complex64 float64 int64 uint64 float4_e2m1fn_x2"
).split()

tensors = {}
for i, name in enumerate(NAMES):
    bits = torch.arange(16, dtype=torch.uint8) + i
    tensors[name] = bits % 2 == 0 if name == "bool" else bits.view(getattr(torch, name))
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
save_file(tensors, folder / "dtypes.safetensors", metadata={"format": "pt"})
