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
    "torch AdamW compiled": lambda ps: torch.optim.AdamW(ps, lr=LR, weight_decay=DECAY, foreach=True),
}


def values(length, salt):
    return ((numpy.arange(length, dtype=numpy.int64) * salt % 1009) / 1009 - 0.5).astype(numpy.float32)


def start(kind, shapes):
    """The parameters, and what makes a step of them."""
    parameters = []
    for rows, cols in shapes:
        p = torch.nn.Parameter(torch.from_numpy(values(rows * cols, 7919)).reshape(rows, cols))
        p.grad = torch.from_numpy(values(rows * cols, 104729)).reshape(rows, cols)
        parameters.append(p)
    if kind == "torch clip_grad_norm_":
        return parameters, lambda: torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    if kind == "torch _foreach_add_":
        sums = [torch.zeros_like(p) for p in parameters]
        return parameters, lambda: torch._foreach_add_(sums, [p.grad for p in parameters])
    step = MAKERS[kind](parameters).step
    return parameters, torch.compile(step, fullgraph=False) if kind.endswith("compiled") else step


def compiles():
    try:
        return bool(torch.compile(lambda x: x * 2 + 1)(torch.ones(4))[0] == 3)
    except Exception:
        return False


def high_water(reset):
    """Bytes of memory now, or the most since the last reset; None where the system does not tell."""
    try:
        if reset:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except OSError:
        return None


def memory(kind, shapes):
    """Bytes of state after two steps, and by how much they raised the process's memory at their peak."""
    parameters = [torch.nn.Parameter(torch.full(shape, 0.5)) for shape in shapes]
    for p in parameters:
        p.grad = torch.full_like(p, 0.25)
    optimizer = MAKERS[kind](parameters)
    before = high_water(True)
    for _ in range(2):
        optimizer.step()
    after = high_water(False)
    tensors = [x for state in optimizer.state.values() for x in state.values() if torch.is_tensor(x)]
    state = sum(x.numel() * x.element_size() for x in tensors)
    return {"state": state, "peak": None if before is None else after - before}


parameters, step = [], None
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "versions":
        import transformers

        answer = {"torch": torch.__version__, "transformers": transformers.__version__, "python": sys.version.split()[0]}
    elif command["do"] == "compiles":
        answer = {"compiles": compiles()}
    elif command["do"] == "memory":
        answer = memory(command["kind"], command["shapes"])
    elif command["do"] == "start":
        torch.set_num_threads(command["threads"])
        parameters, step = start(command["kind"], command["shapes"])
        answer = {}
    elif command["do"] == "advance":
        for _ in range(command["steps"]):
            step()
        answer = {"weights": base64.b64encode(parameters[0].detach().numpy().tobytes()).decode()}
    elif command["do"] == "stretch":
        for p in parameters:
            p.grad.fill_(command["gradient"])
        times = []
        for _ in range(command["steps"]):
            begun = time.perf_counter_ns()
            step()
            times.append(time.perf_counter_ns() - begun)
        window = command["window"]
        medians = [statistics.median(times[i : i + window]) for i in range(0, len(times), window)]
        answer = {"nanoseconds": statistics.mean(medians)}
    else:
        samples, until = [], time.perf_counter() + command["milliseconds"] / 1000
        while len(samples) < 3 or time.perf_counter() < until:
            begun = time.perf_counter_ns()
            step()
            samples.append(time.perf_counter_ns() - begun)
        answer = {"nanoseconds": statistics.median(samples)}
    print(json.dumps(answer), flush=True)
