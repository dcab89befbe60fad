"""LSTM, GRU and RNN in programs against ONNX Runtime: in all their forms, in float32 and quantized."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper

from qgraph.capture import from_onnx
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute.convert import to_torch
from qgraph.execute.onnxruntime import session
from qgraph.workflow import transform
from tests.execute.test_recurrent import GATES, model_of

ACTIVATIONS = {
    "Affine": (0.7, 0.2),
    "LeakyRelu": (0.1,),
    "ThresholdedRelu": (0.3,),
    "ScaledTanh": (0.8, 0.6),
    "HardSigmoid": (0.3, 0.4),
    "Elu": (0.9,),
    "Relu": (),
    "Softsign": (),
    "Softplus": (),
    "Tanh": (),
    "Sigmoid": (),
}
"""alpha, or alpha and beta, of those that have them."""
ZEROS = ("Affine", "ThresholdedRelu", "ScaledTanh")
"""Those whose parameters ONNX Runtime takes as 0 where none are given; ONNX says those of the ops: 1, and 0 for Affine's beta."""


def agree(model: ir.Model, feed: dict[str, np.ndarray], folder: Path, atol: float = 2e-6) -> None:
    wanted = session(model).run(None, feed)
    compile(model, folder / "m.qgp")
    found = Session(folder / "m.qgp").run(feed)
    for value, right in zip(model.graph.outputs, wanted, strict=True):
        np.testing.assert_allclose(found[value.name or ""], right, rtol=2e-6, atol=atol)


@pytest.mark.parametrize(("op", "direction"), itertools.product(GATES, ["forward", "reverse", "bidirectional"]))
@pytest.mark.parametrize(
    "given",
    [set(), {"b"}, {"b", "lengths"}, {"b", "h", "c"}, {"b", "lengths", "h", "c", "p"}],
    ids=lambda given: " ".join(sorted(given)) or "none",
)
def test_directions_lengths_and_states(op: str, direction: str, given: set[str], tmp_path: Path) -> None:
    agree(*model_of(op, 1 + (direction == "bidirectional"), given, {"direction": direction}), tmp_path)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize(("name", "defaults"), [(n, d) for n in ACTIVATIONS for d in (True, False) if not d or n not in ZEROS])
def test_activations(op: str, name: str, defaults: bool, tmp_path: Path) -> None:
    """Each that takes a parameter takes the next one; where there is none left, its own."""
    others = {"LSTM": ["HardSigmoid", name, "Elu"], "GRU": ["HardSigmoid", name], "RNN": [name]}[op]
    attributes: dict[str, Any] = {"activations": others}
    if not defaults:
        attributes["activation_alpha"] = [ACTIVATIONS[n][0] for n in others if ACTIVATIONS[n]]
        attributes["activation_beta"] = [ACTIVATIONS[n][1] for n in others if len(ACTIVATIONS[n]) > 1]
        attributes = {k: v for k, v in attributes.items() if v}
    agree(*model_of(op, 1, {"b", "h", "c", "p"}, attributes), tmp_path, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("GRU", {"linear_before_reset": 1}),
        ("GRU", {"linear_before_reset": 1, "clip": 0.3}),
        ("GRU", {"clip": 0.3}),
        ("LSTM", {"clip": 0.3}),
        ("LSTM", {"input_forget": 1}),
        ("RNN", {"clip": 0.3, "activations": ["Relu"]}),
    ],
    ids=str,
)
def test_attributes(op: str, attributes: dict[str, Any], tmp_path: Path) -> None:
    agree(*model_of(op, 1, {"b", "h", "c"}, attributes), tmp_path)


def test_parameters_of_activations_that_are_left_out(tmp_path: Path) -> None:
    found = []
    for given in ({}, {"activation_alpha": [1.0, 1.0, 1.0], "activation_beta": [0.0, 1.0]}):
        model, feed = model_of("LSTM", 1, {"b"}, {"activations": [*ZEROS], **given})
        model.graph.initializers["w"].const_value = ir.tensor(np.full((1, 24, 4), 0.3, np.float32))
        model.graph.initializers["r"].const_value = ir.tensor(np.full((1, 24, 6), -0.2, np.float32))
        model.graph.initializers["b"].const_value = ir.tensor(np.full((1, 48), 0.5, np.float32))
        compile(model, tmp_path / "m.qgp")
        found.append(Session(tmp_path / "m.qgp").run({"x": np.ones_like(feed["x"])})["y"].copy())
    assert found[0].tobytes() == found[1].tobytes() and found[0].any()


def test_what_is_wrong_with_activations_is_said(tmp_path: Path) -> None:
    for names, text in ((["Cosine"], "activation 'Cosine' is unknown"), (["Tanh", "Tanh"], "has 2 activations; 1 are needed")):
        model, _ = model_of("RNN", 1, set(), {"activations": names})
        with pytest.raises(QGraphError, match=text):
            compile(model, tmp_path / "m.qgp")


def test_a_length_beyond_the_steps_is_refused(tmp_path: Path) -> None:
    model, feed = model_of("LSTM", 1, {"lengths"}, {})
    compile(model, tmp_path / "m.qgp")
    with pytest.raises(QGraphError, match="a length is 6; it must be between 0 and 5"):
        Session(tmp_path / "m.qgp").run(feed | {"lengths": np.array([5, 6, 1], np.int32)})


@pytest.mark.parametrize("batch", [1, 70])
def test_threads_share_a_step_that_is_large(batch: int, tmp_path: Path) -> None:
    """One and two threads give the same bytes where the columns of a product, or the rows of the batch, are shared."""
    hidden, rng = 384, np.random.default_rng(0)
    w, r = (rng.standard_normal((1, 4 * hidden, n)).astype(np.float32) / 20 for n in (48, hidden))
    node = onnx.helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="n", hidden_size=hidden)
    x = onnx.helper.make_tensor_value_info("x", 1, [3, batch, 48])
    y = onnx.helper.make_tensor_value_info("y", 1, [3, 1, batch, hidden])
    graph = onnx.helper.make_graph([node], "g", [x], [y], [numpy_helper.from_array(w, "w"), numpy_helper.from_array(r, "r")])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10), tmp_path / "m.onnx")
    compile(from_onnx(tmp_path / "m.onnx"), tmp_path / "m.qgp")
    feed = {"x": rng.standard_normal((3, batch, 48)).astype(np.float32)}
    one, two = (Session(tmp_path / "m.qgp", threads=n).run(feed)["y"].copy() for n in (1, 2))
    assert one.tobytes() == two.tobytes()
    wanted = session(ir.load(tmp_path / "m.onnx")).run(None, feed)[0]
    np.testing.assert_allclose(one, wanted, atol=2e-6)


@pytest.mark.parametrize(("op", "direction"), itertools.product(GATES, ["forward", "reverse", "bidirectional"]))
@pytest.mark.parametrize("preset", ["int8", "int8-dynamic"])
@pytest.mark.parametrize("given", [set(), {"b", "lengths", "h", "c", "p"}], ids=lambda given: " ".join(sorted(given)) or "none")
@pytest.mark.parametrize("before", [0, 1])
def test_quantized(op: str, direction: str, preset: str, given: set[str], before: int, tmp_path: Path) -> None:
    """The program has the bytes of ``to_torch(exact=True)`` and is close to ONNX Runtime and to the module that is trained."""
    attributes: dict[str, Any] = {"direction": direction}
    if op == "GRU":
        attributes["linear_before_reset"] = before
    model, feed = model_of(op, 1 + (direction == "bidirectional"), given, attributes)
    wanted = session(model).run(None, feed)
    transform(model, preset=preset, data=[feed], force=True)
    compile(model, tmp_path / "m.qgp")
    found = Session(tmp_path / "m.qgp").run(feed)
    inputs = [torch.from_numpy(feed[v.name or ""]) for v in model.graph.inputs]
    exact, trained = to_torch(model, exact=True)(*inputs), to_torch(model)(*inputs)
    for value, right in zip(model.graph.outputs, wanted, strict=True):
        got = found[value.name or ""]
        assert exact[value.name or ""].numpy().tobytes() == got.tobytes()
        np.testing.assert_allclose(
            trained[value.name or ""].detach().numpy(), got, atol=2e-5 if preset == "int8-dynamic" else 3e-3
        )
        assert ((got - right) ** 2).sum() < 1e-3 * (right**2).sum()


def test_states_stay_float(tmp_path: Path) -> None:
    """What comes in as a state, and goes out as one, has no quantizer, also where it is moved."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2, 1, 1, 6] s, float[3, 1, 4] x)
        => (float[1, 6] out, float[2, 1, 1, 6] t)
        <int64[1] zero = {0}> {
          h, c = Split<axis=0, num_outputs=2>(s)
          h0 = Squeeze(h, zero)
          c0 = Squeeze(c, zero)
          y, yh, yc = LSTM<hidden_size=6>(x, w, r, , , h0, c0)
          hh = Unsqueeze(yh, zero)
          cc = Unsqueeze(yc, zero)
          t = Concat<axis=0>(hh, cc)
          last = Squeeze(yh, zero)
          out = MatMul(last, v)
        }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (1, 24, 4), "r": (1, 24, 6), "v": (6, 6)}.items():
        array = rng.standard_normal(shape).astype(np.float32) / 2
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(proto, tmp_path / "m.onnx")
    model = from_onnx(tmp_path / "m.onnx")
    feed = {"s": rng.standard_normal((2, 1, 1, 6)).astype(np.float32), "x": rng.standard_normal((3, 1, 4)).astype(np.float32)}
    right = session(model).run(None, feed)
    transform(model, preset="int8", data=[feed], force=True)
    quantized = {n.inputs[0].name for n in model.graph if n.op_type == "QuantizeLinear"}  # type: ignore[union-attr]
    assert quantized & {"s", "h", "c", "h0", "c0", "yc", "hh", "cc", "t"} == set(), quantized
    compile(model, tmp_path / "m.qgp")
    found = Session(tmp_path / "m.qgp").run(feed)
    for name, wanted in zip(("out", "t"), right, strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=0.03)


@pytest.mark.parametrize("op", GATES)
def test_training_and_baking(op: str, tmp_path: Path) -> None:
    """Latent weights get gradients through their quantizers; baked, they are the codes that the program has."""
    model, feed = model_of(op, 1, {"b"}, {})
    transform(model, "quantize{activations=tokens placement=linear latent=true}")
    module, x = to_torch(model), torch.from_numpy(feed["x"])
    module(x)["y"].square().sum().backward()
    gradients = {name: p.grad for name, p in module.named_parameters() if name in ("w", "r", "b")}
    assert len(gradients) == 3 and all(g is not None and g.abs().sum() > 0 for g in gradients.values())
    simulated = module(x)["y"].detach().numpy()
    transform(model, "bake")
    compile(model, tmp_path / "m.qgp")
    np.testing.assert_allclose(Session(tmp_path / "m.qgp").run(feed)["y"], simulated, atol=2e-5)
