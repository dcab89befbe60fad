"""Each loss against its equation, computed once more in NumPy with loops."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from qgraph.errors import QGraphError
from qgraph.train.losses import LOSSES, make_loss

RNG = np.random.default_rng(0)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def huber(d: np.ndarray) -> np.ndarray:
    return np.where(np.abs(d) < 1, 0.5 * d * d, np.abs(d) - 0.5)


def response(s: np.ndarray, t: np.ndarray, T: float = 4.0) -> float:
    p, q = softmax(t / T), softmax(s / T)
    return float(T * T * np.mean(np.sum(p * np.log(p / q), -1)))


def dist(s: np.ndarray, t: np.ndarray, T: float = 4.0) -> float:
    p, q = softmax(s / T), softmax(t / T)
    rows = np.mean([np.corrcoef(p[i], q[i])[0, 1] for i in range(len(p))])
    columns = np.mean([np.corrcoef(p[:, i], q[:, i])[0, 1] for i in range(p.shape[1])])
    return float(T * T * (1 - rows + 1 - columns))


def rkd_distance(s: np.ndarray, t: np.ndarray) -> float:
    n, parts = len(s), []
    for x in (s.reshape(n, -1), t.reshape(n, -1)):
        d = np.array([[np.linalg.norm(x[i] - x[j]) for j in range(n)] for i in range(n)])
        parts.append(d / (d.sum() / (n * (n - 1))))
    return float(huber(parts[0] - parts[1]).mean())


def rkd_angle(s: np.ndarray, t: np.ndarray) -> float:
    n, parts = len(s), []
    for x in (s.reshape(n, -1), t.reshape(n, -1)):
        angle = np.zeros((n, n, n))
        for i, j, k in product(range(n), repeat=3):
            a, b = x[i] - x[j], x[k] - x[j]
            if np.linalg.norm(a) > 0 and np.linalg.norm(b) > 0:
                angle[j, i, k] = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        parts.append(angle)
    return float(huber(parts[0] - parts[1]).mean())


def similarity(s: np.ndarray, t: np.ndarray) -> float:
    a, b = (unit(x.reshape(len(x), -1) @ x.reshape(len(x), -1).T) for x in (s, t))
    return float(np.sum((a - b) ** 2) / len(s) ** 2)


def transfer(s: np.ndarray, t: np.ndarray) -> float:
    a, b = (unit((x**2).sum(1).reshape(len(x), -1)) for x in (s, t))
    return float(np.mean(np.sum((a - b) ** 2, 1)))


def relation(s: np.ndarray, t: np.ndarray, heads: int = 2) -> float:
    parts = []
    for x in (s, t):
        b, n, d = x.shape
        split = x.reshape(b, n, heads, d // heads).transpose(0, 2, 1, 3)
        parts.append(softmax(split @ split.transpose(0, 1, 3, 2) / np.sqrt(d // heads)))
    q, p = parts
    return float(np.mean(np.sum(p * np.log(p / q), -1)))


SCORES, IMAGES, TOKENS = (5, 7), (4, 3, 6, 6), (3, 5, 8)
CASES = [
    ("response", {}, SCORES, SCORES, response),
    ("response", {"temperature": 2.0}, SCORES, SCORES, lambda s, t: response(s, t, 2.0)),
    ("soft-cross-entropy", {}, SCORES, SCORES, lambda s, t: -np.mean(np.sum(softmax(t) * np.log(softmax(s)), -1))),
    ("mse", {}, TOKENS, TOKENS, lambda s, t: np.mean((s - t) ** 2)),
    ("cosine", {}, TOKENS, TOKENS, lambda s, t: np.mean(1 - np.sum(unit(s) * unit(t), -1))),
    ("dist", {}, SCORES, SCORES, dist),
    ("rkd-distance", {}, (5, 4), (5, 9), rkd_distance),
    ("rkd-angle", {}, (5, 4), (5, 9), rkd_angle),
    ("relation", {"distance": 2.0, "angle": 3.0}, (5, 4), (5, 9), lambda s, t: 2 * rkd_distance(s, t) + 3 * rkd_angle(s, t)),
    ("similarity-preserving", {}, IMAGES, (4, 5, 6, 6), similarity),
    ("feature", {}, IMAGES, IMAGES, lambda s, t: np.mean((s - t) ** 2)),
    ("attention-transfer", {}, IMAGES, (4, 9, 6, 6), transfer),
    ("attention-scores", {}, (2, 3, 4, 4), (2, 3, 4, 4), lambda s, t: np.mean((s - t) ** 2)),
    ("minilm-relation", {"heads": 2}, TOKENS, (3, 5, 12), relation),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options", "student", "teacher", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_value_and_gradient(kind, options, student, teacher, wanted) -> None:  # type: ignore[no-untyped-def]
    s, t = RNG.standard_normal(student), RNG.standard_normal(teacher)
    loss = make_loss(kind, options)
    a, b = torch.tensor(s, requires_grad=True), torch.tensor(t)
    loss.pair(a, b)
    value = loss(a, b)
    assert value.item() == pytest.approx(float(wanted(s, t)), rel=1e-5, abs=1e-7)
    value.backward()
    assert torch.isfinite(a.grad).all() and float(a.grad.abs().sum()) > 0  # type: ignore[union-attr]


def test_every_loss_is_tested() -> None:
    assert set(LOSSES) - {c[0] for c in CASES} == {"cross-entropy"}
    z, labels = torch.randn(4, 3), torch.tensor([0, 2, 1, 1])
    wanted = -np.mean(np.log(softmax(z.numpy())[np.arange(4), labels.numpy()]))
    assert float(make_loss("cross-entropy", {})(z, labels)) == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("kind", sorted(set(LOSSES) - {"cross-entropy", "soft-cross-entropy"}))
def test_equal_tensors_cost_nothing(kind: str) -> None:
    shape = next(c[2] for c in CASES if c[0] == kind)
    x = torch.tensor(RNG.standard_normal(shape))
    assert float(make_loss(kind, {"heads": 2} if kind == "minilm-relation" else {})(x, x)) == pytest.approx(0, abs=1e-5)


def test_masked_scores_do_not_count() -> None:
    loss = make_loss("attention-scores", {})
    a, b = torch.zeros(1, 1, 1, 3), torch.tensor([[[[1.0, 2.0, float("-inf")]]]])
    a[..., 2] = torch.finfo(torch.float32).min
    assert float(loss(a, b)) == pytest.approx(5 / 3)


def test_features_of_other_widths_are_mapped() -> None:
    loss = make_loss("feature", {})
    a, b = torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4)
    loss.pair(a, b)
    assert sum(p.numel() for p in loss.parameters()) == 3 * 5 + 5
    assert loss(a, b).shape == ()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: make_loss("respons", {}), "did you mean 'response'"),
        (lambda: make_loss("response", {"temprature": 2}), "did you mean 'temperature'"),
        (lambda: make_loss("response", {"temperature": 0.0}), "temperature above 0"),
        (lambda: make_loss("feature", {}).pair(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 5, 5)), "same resolution"),
        (lambda: make_loss("attention-scores", {}).pair(torch.zeros(2, 3, 4, 4), torch.zeros(2, 6, 4, 4)), "minilm-relation"),
        (lambda: make_loss("minilm-relation", {"heads": 5})(torch.zeros(2, 3, 8), torch.zeros(2, 3, 8)), "set heads"),
    ],
)
def test_refusals(call, says: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(QGraphError, match=says):
        call()
