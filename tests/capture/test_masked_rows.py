"""Rows of attention whose keys are all masked are zeros in every form, as in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from qgraph.capture import from_torch
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.ir.patterns import constant
from qgraph.workflow import transform
from tests.capture.files import sqnr
from tests.conftest import run_onnx


class Attends(nn.Module):
    """Two heads over five tokens of width 16."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(2, 5, 3, 2, 8).permute(2, 0, 3, 1, 4)
        made = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out(made.transpose(1, 2).reshape(2, 5, 16))


class Padded(Attends):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x, torch.ones(5, 5, dtype=torch.bool).tril() & mask[:, None, None, :])


class Causal(Attends):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x, torch.ones(5, 5, dtype=torch.bool).tril()) + mask[..., None]


LEFT = torch.tensor([[True] * 5, [False, False, True, True, True]])  # the second prompt is padded on the left
ROWS = torch.ones(5, 5, dtype=torch.bool).tril() & LEFT[:, None, None, :]


@pytest.mark.parametrize("module, mask", [(Padded, LEFT), (Attends, ROWS), (Attends, ROWS.float().log())])
def test_rows_without_a_key(module: type[nn.Module], mask: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, x = module().eval(), torch.randn(2, 5, 16)
    wanted = net(x, mask).detach().numpy()
    np.testing.assert_allclose(wanted[1, :2], np.broadcast_to(net.out.bias.detach().numpy(), (2, 16)), atol=1e-6)  # type: ignore[union-attr]
    model, feed = from_torch(net, (x, mask)), {"x": x.numpy(), "mask": mask.numpy()}
    np.testing.assert_allclose(run_onnx(model, feed)[0], wanted, rtol=1e-4, atol=1e-5)
    transform(model, preset="int8", data=[feed])
    assert sqnr(wanted, run_onnx(model, feed)[0]) > 35
    compile(model, tmp_path / "p.qgp")
    (found,) = Session(tmp_path / "p.qgp").run(feed).values()
    assert sqnr(wanted, found) > 35


def test_a_mask_that_no_input_decides_stays_as_it_is() -> None:
    model = from_torch(Causal(), (torch.randn(2, 5, 16), torch.zeros(2, 5)))
    fills = [constant(n.inputs[2]) for n in model.graph if n.op_type == "Where" and n.outputs[0].dtype == ir.DataType.FLOAT]
    assert any(array is not None and array.size == 1 and np.isfinite(array).all() and array < -1e38 for array in fills)
