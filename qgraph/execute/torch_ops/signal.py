"""Fourier transforms, and bits seen as another type."""

from __future__ import annotations

import torch
from torch import Tensor

from qgraph.execute.tensors import dtype_of
from qgraph.execute.torch_ops.registry import Numbers, number, op


def _complex(x: Tensor) -> Tensor:
    """[..., 1] or [..., 2] as complex numbers [...]."""
    if x.shape[-1] == 1:
        return torch.complex(x[..., 0], torch.zeros_like(x[..., 0]))
    return torch.complex(x[..., 0], x[..., 1])


@op("DFT", static=(1, 2))
def dft(x: Tensor, dft_length: Numbers | None = None, axis: Numbers | None = None, inverse: int = 0, onesided: int = 0) -> Tensor:
    at = -2 if axis is None else number(axis)
    along = at + 1 if at < 0 else at
    n = None if dft_length is None else number(dft_length)
    if inverse and onesided:
        return torch.fft.irfft(_complex(x), n, along).unsqueeze(-1)
    if onesided:
        return torch.view_as_real(torch.fft.rfft(x[..., 0], n, along))
    return torch.view_as_real((torch.fft.ifft if inverse else torch.fft.fft)(_complex(x), n, along))


@op("STFT", static=(1, 3))
def stft(
    signal: Tensor, frame_step: Numbers, window: Tensor | None = None, frame_length: Numbers | None = None, onesided: int = 1
) -> Tensor:
    n = number(frame_length) if frame_length is not None else signal.shape[1] if window is None else window.shape[0]
    frames = signal.unfold(1, n, number(frame_step))
    if window is not None:
        frames = frames * window
    spectrum = torch.fft.fft(_complex(frames.transpose(-1, -2)), dim=-1)
    return torch.view_as_real(spectrum[..., : n // 2 + 1] if onesided else spectrum)


@op("BitCast")
def bit_cast(x: Tensor, to: int) -> Tensor:
    return x.view(dtype_of(to))
