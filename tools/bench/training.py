"""What training a graph costs: ``python -m qgraph.tools.bench.training``.

Milliseconds of a training step (forward, backward, SGD) of the user's own module, of the graph made from it, of that graph
with int8 quantizers whose steps are learned, and of the module under torch.ao's quantization-aware training; all in one process,
taking turns, as ratios to the module.
"""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qgraph.capture import from_torch
from qgraph.execute import to_torch
from qgraph.factories import call_factory
from qgraph.pipeline import PassContext, Pipeline

ROUNDS = 15


def step(run: Callable[[], Any], parameters: Any) -> float:
    """Seconds of one training step."""
    optimizer = torch.optim.SGD(parameters, lr=1e-6)
    start = time.perf_counter()
    optimizer.zero_grad()
    y = run()
    y = next(iter(y.values())) if isinstance(y, dict) else y
    y.square().mean().backward()
    optimizer.step()
    return time.perf_counter() - start


def torch_ao(module: nn.Module) -> nn.Module:
    """torch.ao's eager quantization-aware training of linear and convolution layers."""
    from torch.ao import quantization

    twin = copy.deepcopy(module).train()
    for part in twin.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.qconfig = quantization.get_default_qat_qconfig("x86")  # type: ignore[assignment]
    return quantization.prepare_qat(twin)  # type: ignore[no-any-return]


def compare(spec: str, batch: Mapping[str, np.ndarray]) -> None:
    """Print one row for the module of a factory."""
    module, example, shapes = call_factory(spec)
    module = module.train().requires_grad_(True)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0  # graphs are captured without it
    graph = from_torch(copy.deepcopy(module).eval(), example, dynamic_shapes=shapes)
    Pipeline("canonicalize").run(graph)
    quantized = graph.clone()
    Pipeline("fold-batchnorm,fuse-bias,calibrate,quantize{latent=true}").run(quantized, PassContext(data=[batch]))
    forms: dict[str, nn.Module] = {
        "module": module,
        "graph": to_torch(graph).train(),
        "int8, learned steps": to_torch(quantized, weights="learned", activations="observe").train(),
        "torch.ao QAT": torch_ao(module),
    }
    inputs: list[Tensor] = [torch.from_numpy(batch[v.name or ""]) for v in graph.graph.inputs]
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(ROUNDS):
        for name, form in forms.items():
            times[name].append(step(lambda form=form: form(*inputs), form.parameters()))  # type: ignore[misc]
    base = np.array(times["module"][3:])
    cells = [f"{np.median(base) * 1e3:.0f} ms"]
    cells += [f"{np.median(np.array(times[name][3:]) / base):.2f} x" for name in list(forms)[1:]]
    print(f"| {spec.split(':')[1]} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Print Markdown."""
    from qgraph.zoo.cnn import noise_images
    from qgraph.zoo.sentences import sentences, tokens

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    print("| model | module | graph | int8, learned steps | torch.ao QAT |\n|---|---|---|---|---|")
    compare("qgraph.zoo:minilm", tokens(sentences()[:16]))
    compare("qgraph.zoo:resnet50", {name: images[:2] for name, images in next(iter(noise_images())).items()})


if __name__ == "__main__":
    main()
