#!/usr/bin/env python3
"""Record what Python's math.pow and math.cos (the C library's) give: standard library only.

    python make_math.py > math.json

{"pow": [[x, y, x^y], ...], "cos": [[x, cos x], ...]}; Python and JSON both write the shortest text that reads back as the same double.
"""
import json
import math
import platform
import random
import struct

rng = random.Random(20261123)


def anydouble():
    """Any bit pattern of a positive, finite double."""
    while True:
        x = struct.unpack("<d", (rng.getrandbits(63)).to_bytes(8, "little"))[0]
        if math.isfinite(x) and x > 0:
            return x


pairs = []
pairs += [(float(t), -0.8) for t in [*range(1, 200), *(rng.randint(200, 10**7) for _ in range(200))]]
pairs += [(b, float(t)) for b in (0.9, 0.99, 0.999) for t in [*range(1, 100, 3), *(rng.randint(100, 7000) for _ in range(60))]]
pairs += [(rng.random(), y) for y in (0.5, 1.5, 2.5, 3.0) for _ in range(60)]
pairs += [(float(rng.randint(2, 40)), float(rng.randint(-20, 20))) for _ in range(120)]
# the whole range of results, subnormal ones included
for _ in range(300):
    x = anydouble()
    pairs.append((x, rng.uniform(-745.2, 709.7) / math.log(x)))
for _ in range(200):
    x = 1 + rng.uniform(-1, 1) * 10 ** rng.uniform(-15, -1)
    pairs.append((x, rng.uniform(-745.2, 709.7) / (math.log(x) or 1.0)))
for _ in range(150):
    x = anydouble()
    pairs.append((x, -rng.uniform(708, 745.2) / math.log(x)))
pairs += [(-x, float(rng.randint(-9, 9))) for x in (rng.uniform(0.1, 10) for _ in range(50))]

angles = [math.pi * rng.randint(0, 400) / rng.randint(1, 400) for _ in range(400)]
angles += [rng.uniform(0, 2.0**20) for _ in range(200)]
angles += [k * (math.pi / 2) for k in (rng.randint(1, 667544) for _ in range(200))]
angles += [anydouble() for _ in range(200)]
angles += [6381956970095103.0 * 2.0**797, 1e22, 2.0**1023, 2.0**20, math.nextafter(2.0**20, 0)]

print(json.dumps({
    "python": platform.python_version(), "libc": " ".join(platform.libc_ver()),
    "pow": [(x, y, math.pow(x, y)) for x, y in pairs],
    "cos": [(x, math.cos(x)) for x in angles],
}, separators=(",", ":")))
