"""ResNet-50 (He et al. 2015) and MobileNetV2 (Sandler et al. 2018) in plain torch, random weights.

The last BatchNorm of each residual branch starts small (Goyal et al. 2017 start it at 0): with gains of 1 a deep
random net is chaotic and any rounding grows from block to block, which no trained net shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3, 1x1 expand, with a projection where the shape changes."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv(inputs, width, 1), nn.ReLU(), *_conv(width, width, 3, stride), nn.ReLU(), *_conv(width, 4 * width, 1)
        )
        _quiet_branch(self.body)
        same = stride == 1 and inputs == 4 * width
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv(inputs, 4 * width, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class InvertedResidual(nn.Module):
    """1x1 expand, depthwise 3x3, linear 1x1."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers = [*_conv(inputs, hidden, 1), nn.ReLU6()] if expand != 1 else []
        layers += [*_conv(hidden, hidden, 3, stride, hidden), nn.ReLU6(), *_conv(hidden, outputs, 1)]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs
        if self.residual:
            _quiet_branch(self.body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.residual else self.body(x)


BRANCH_GAIN = 0.2


def _quiet_branch(body: nn.Sequential) -> None:
    last = body[-1]
    assert isinstance(last, nn.BatchNorm2d)
    nn.init.constant_(last.weight, BRANCH_GAIN)


def settle(model: nn.Module, shape: tuple[int, ...], passes: int = 2) -> nn.Module:
    """Let the BatchNorm statistics settle on noise of ``shape``; returns the model in inference mode."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain average over the passes
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(passes):
            model(torch.randn(shape, generator=generator))
    return model.eval()


def _capture(model: nn.Module) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    model = settle(model, (4, 3, 224, 224))
    return model, (torch.randn(2, 3, 224, 224),), ({0: torch.export.Dim("batch")},)


def resnet50() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """ResNet-50 for 224 x 224 images, 25.6 M parameters, 4.1 GMAC."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for width, depth, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for i in range(depth):
            layers.append(Bottleneck(inputs, width, stride if i == 0 else 1))
            inputs = 4 * width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000)]
    return _capture(nn.Sequential(*layers))


def mobilenet_v2() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """MobileNetV2 1.0 for 224 x 224 images, 3.5 M parameters, 0.3 GMAC."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [*_conv(3, 32, 3, 2), nn.ReLU6()]
    inputs = 32
    for expand, outputs, depth, stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for i in range(depth):
            layers.append(InvertedResidual(inputs, outputs, stride if i == 0 else 1, expand))
            inputs = outputs
    layers += [*_conv(320, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return _capture(nn.Sequential(*layers))


def noise_images() -> Iterator[dict[str, np.ndarray]]:
    """Eight batches of two 224 x 224 noise images, for the models above."""
    rng = np.random.default_rng(7)
    for _ in range(8):
        yield {"input": rng.standard_normal((2, 3, 224, 224), np.float32)}
