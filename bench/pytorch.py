"""The PyTorch side of the bench: reads one JSON command per line, answers with one JSON line."""
import base64, json, statistics, sys, time

import numpy, torch

try:
    from transformers.optimization import Adafactor
except ImportError:
    Adafactor = None

LR, DECAY = 1e-3, 1e-2
MAKERS = {
    "transformers Adafactor": lambda ps: Adafactor(ps),
    "torch Adafactor": lambda ps: torch.optim.Adafactor(ps),
    "torch AdamW foreach": lambda ps: torch.optim.AdamW(ps, lr=LR, weight_decay=DECAY, foreach=True),
    "torch AdamW fused": lambda ps: torch.optim.AdamW(ps, lr=LR, weight_decay=DECAY, fused=True),
}


def values(length, salt):
    return ((numpy.arange(length, dtype=numpy.int64) * salt % 1009) / 1009 - 0.5).astype(numpy.float32)


def start(kind, shapes):
    parameters = []
    for rows, cols in shapes:
        p = torch.nn.Parameter(torch.from_numpy(values(rows * cols, 7919)).reshape(rows, cols))
        p.grad = torch.from_numpy(values(rows * cols, 104729)).reshape(rows, cols)
        parameters.append(p)
    return parameters, MAKERS[kind](parameters)


parameters, optimizer = [], None
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "versions":
        import transformers

        answer = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    elif command["do"] == "start":
        torch.set_num_threads(command["threads"])
        parameters, optimizer = start(command["kind"], command["shapes"])
        answer = {}
    elif command["do"] == "advance":
        for _ in range(command["steps"]):
            optimizer.step()
        answer = {"weights": base64.b64encode(parameters[0].detach().numpy().tobytes()).decode()}
    else:
        samples, until = [], time.perf_counter() + command["milliseconds"] / 1000
        while len(samples) < 3 or time.perf_counter() < until:
            begun = time.perf_counter_ns()
            optimizer.step()
            samples.append(time.perf_counter_ns() - begun)
        answer = {"nanoseconds": statistics.median(samples)}
    print(json.dumps(answer), flush=True)
