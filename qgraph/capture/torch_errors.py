"""One sentence from an error of the capture: whose mistake it is, the user's own source line, torch's advice."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Sequence
from typing import Any

from qgraph.errors import user_line

LONGEST = 300
"""Characters of a message of torch that are passed on."""
NOT_THEIRS = [f"{os.sep}{package}{os.sep}" for package in ("torch", "onnxscript")]
"""What paths of files have that are not the user's."""
ADVICE = re.compile(
    r"(?:Suggested fixes|To fix the error, insert one of the following checks before this call):\s*\n((?:[ \t]+.*\n?)+)"
)


def explain(module: Any, args: Sequence[Any], kwargs: Any, error: BaseException) -> str:
    """Why ``module`` was not captured; where it fails without the capture too, the mistake is the module's or the inputs'."""
    own = _raised_by(module, args, kwargs)
    name = type(module).__name__
    if own is not None:
        return (
            f"{name} itself fails with these example inputs: {type(own).__name__}: {_first_line(own)} "
            f"(at {user_line(own) or _definition(module)}); correct the module or its inputs, torch raises this by itself"
        )
    chain, text = error, str(error)
    while chain.__cause__ is not None:
        chain = chain.__cause__
        text += "\n" + str(chain)
    lines = [(f, n) for f, n in re.findall(r'File "([^"]+)", line (\d+)', text) if not any(p in f for p in NOT_THEIRS)]
    raised = user_line(chain)
    own_line = "" if any(p in raised for p in NOT_THEIRS) else raised
    place = f"{lines[-1][0]}:{lines[-1][1]}" if lines else own_line or _definition(module)
    return f"cannot capture {name}: {_first_line(chain)} (at {place}); {_advice(text)}"


def _raised_by(module: Any, args: Sequence[Any], kwargs: Any) -> Exception | None:
    """What ``module`` raises when it is simply called; its buffers are as before afterwards."""
    import torch

    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    try:
        with torch.no_grad():
            module(*args, **(kwargs or {}))
    except Exception as error:
        return error
    finally:
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if name in buffers and buffer.shape == buffers[name].shape:
                    buffer.copy_(buffers[name])
    return None


def _first_line(error: BaseException) -> str:
    first = next((s for s in str(error).splitlines() if s.strip()), type(error).__name__).strip()
    first = re.sub(r"\s*For more information, run with TORCH_LOGS.*", "", first)
    if len(first) <= LONGEST:
        return first
    return first[: first.rfind(". ", 0, LONGEST) + 1] or first[:LONGEST]  # whole sentences


def _definition(module: Any) -> str:
    try:
        return f"{inspect.getsourcefile(type(module))}:{inspect.getsourcelines(type(module))[1]}"
    except (OSError, TypeError):
        return "unknown source"


def _advice(text: str) -> str:
    """What to do: torch's own suggestion where it makes one."""
    found = ADVICE.search(text)
    if found:
        fixes = "; ".join(line.strip() for line in found[1].splitlines() if line.strip())
        reasons = " ".join(line.strip(" -") for line in text.splitlines() if line.startswith("  - "))
        return f"{reasons[:LONGEST]} torch suggests: {fixes[:LONGEST]}".strip()
    if "register_pytree_node" in text or "register a pytree" in text:
        return "take and return tensors in tuples, lists and dicts, or make the class known with torch.export.register_dataclass"
    if "data-dependent" in text:
        return "rewrite that line without data-dependent Python control flow (torch.where), or capture the part before it"
    if "dynamic_shapes" in text:
        return "give dynamic_shapes the structure of the example inputs"
    return "rewrite that line with ops that torch.export and its ONNX exporter know, or capture the part of the model before it"
