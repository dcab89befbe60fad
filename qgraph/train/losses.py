"""What a student is taught by: each loss one small class with its equation, shapes and source.

A loss is called with the student's and the teacher's tensors and returns a scalar, the mean over the batch. Which values of
the graphs it reads says ``needs``: ``output`` (the graph's output), or the kind of a tap (``feature``, ``attention``,
``query``, ``key``, ``value``), of which there is one pair a layer; ``labels`` where it reads labels.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qgraph.errors import QGraphError, suggest
from qgraph.train.labels import classes_second

LOSSES: dict[str, type[Loss]] = {}


class Loss(nn.Module):
    """Base: registered by ``name``; ``needs`` names what it reads of both graphs."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ("output",)
    labels: ClassVar[bool] = False
    teacher: ClassVar[bool] = True

    def __init_subclass__(cls) -> None:
        LOSSES[cls.name] = cls

    def pair(self, student: Tensor, teacher: Tensor) -> None:
        """See one pair of tensors before training: refuse shapes that do not fit, make what has parameters."""

    def forward(self, student: Any, teacher: Any) -> Tensor:
        raise NotImplementedError


def make_loss(kind: str, options: dict[str, Any]) -> Loss:
    """The loss called ``kind`` with its options; refuses unknown names."""
    if kind not in LOSSES:
        raise QGraphError(f"no loss is called {kind!r}{suggest(kind, LOSSES)}; losses: {', '.join(LOSSES)}")
    cls = LOSSES[kind]
    known = cls.__init__.__code__.co_varnames[1 : cls.__init__.__code__.co_argcount] if "__init__" in vars(cls) else ()
    for option in options:
        if option not in known:
            raise QGraphError(
                f"loss {kind!r} has no option {option!r}{suggest(option, known)}; options: {', '.join(known) or 'none'}"
            )
    return cls(**options)


class CrossEntropy(Loss):
    """L = -log softmax(z)[label]; z [B, C, ...] or [B, ..., C], labels int [B, ...]; the label -100 is left out."""

    name = "cross-entropy"
    labels = True
    teacher = False

    def forward(self, student: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(classes_second(student, labels), labels.long())


class Response(Loss):
    """L = T^2 KL(softmax(z^T / T) || softmax(z^S / T)); z [B, C]. Hinton et al. 2015, section 2."""

    name = "response"

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise QGraphError("loss 'response' needs a temperature above 0")
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        t = self.temperature
        ours, theirs = (F.log_softmax(z.reshape(-1, z.shape[-1]) / t, -1) for z in (student, teacher))
        return t * t * F.kl_div(ours, theirs, log_target=True, reduction="batchmean")


class SoftCrossEntropy(Loss):
    """L = -sum softmax(z^T / T) log softmax(z^S / T); z [B, C]. TinyBERT (Jiao et al. 2020), equation 10."""

    name = "soft-cross-entropy"

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        t = self.temperature
        return F.cross_entropy(student / t, F.softmax(teacher / t, -1))


class MeanSquares(Loss):
    """L = mean (y^S - y^T)^2, for outputs that are not classes; y of any equal shapes."""

    name = "mse"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.mse_loss(student, teacher)


class Cosine(Loss):
    """L = mean (1 - cos(y^S, y^T)) over the last axis; y [..., D]."""

    name = "cosine"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (1 - F.cosine_similarity(student, teacher, -1)).mean()


class Dist(Loss):
    """L = beta (1 - mean_b rho(p^S_b, p^T_b)) + gamma (1 - mean_c rho(p^S_c, p^T_c)); rho is Pearson's correlation of the rows
    and of the columns of p = softmax(z / T) [B, C], times T^2. DIST (Huang et al. 2022), equations 8 to 10.
    """

    name = "dist"

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 4.0) -> None:
        super().__init__()
        self.beta, self.gamma, self.temperature = beta, gamma, temperature

    @staticmethod
    def correlation(a: Tensor, b: Tensor) -> Tensor:
        """Pearson's correlation of each row."""
        return F.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True), 1, eps=1e-8)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        p, q = (F.softmax(z / self.temperature, -1) for z in (student, teacher))
        inter = 1 - self.correlation(p, q).mean()
        intra = 1 - self.correlation(p.t(), q.t()).mean()
        return self.temperature**2 * (self.beta * inter + self.gamma * intra)


def _rows(x: Tensor) -> Tensor:
    """[B, ...] as [B, D]."""
    return x.reshape(len(x), -1)


class RkdDistance(Loss):
    """L = sum_ij huber(psi^S_ij - psi^T_ij) / B^2, psi_ij = |x_i - x_j| / mean over i != j; x [B, D].

    Relational knowledge distillation (Park et al. 2019), equations 5 to 7.
    """

    name = "rkd-distance"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.smooth_l1_loss(self.distances(student), self.distances(teacher))

    @staticmethod
    def distances(x: Tensor) -> Tensor:
        rows = _rows(x)
        squares = (rows * rows).sum(1)
        apart = (squares[:, None] + squares[None] - 2 * rows @ rows.t()).clamp(min=1e-12).sqrt()
        apart = apart * (1 - torch.eye(len(rows), device=rows.device, dtype=rows.dtype))
        return apart / (apart.sum() / max(1, len(rows) * (len(rows) - 1))).clamp(min=1e-12)


class RkdAngle(Loss):
    """L = sum_ijk huber(psi^S_ijk - psi^T_ijk) / B^3, psi_ijk = cos of the angle at x_j between x_i and x_k; x [B, D].

    Relational knowledge distillation (Park et al. 2019), equations 8 and 9.
    """

    name = "rkd-angle"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.smooth_l1_loss(self.angles(student), self.angles(teacher))

    @staticmethod
    def angles(x: Tensor) -> Tensor:
        rows = _rows(x)
        to = F.normalize(rows[None] - rows[:, None], dim=2)  # [j, i, D]
        return torch.bmm(to, to.transpose(1, 2))


class SimilarityPreserving(Loss):
    """L = |G^S - G^T|_F^2 / B^2, G = x x^T with rows of unit length; x [B, ...]. Tung and Mori 2019, equations 3 and 4."""

    name = "similarity-preserving"

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        a, b = (F.normalize(_rows(x) @ _rows(x).t(), dim=1) for x in (student, teacher))
        return (a - b).square().mean()


class Relation(Loss):
    """L = distance * RKD-distance + angle * RKD-angle, with the weights of Park et al. 2019, section 4."""

    name = "relation"

    def __init__(self, distance: float = 25.0, angle: float = 50.0) -> None:
        super().__init__()
        self.distance, self.angle = distance, angle
        self.parts = nn.ModuleList([RkdDistance(), RkdAngle()])

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return self.distance * self.parts[0](student, teacher) + self.angle * self.parts[1](student, teacher)  # type: ignore[no-any-return]


class Regressor(nn.Module):
    """Maps a student's feature to the teacher's width: linear over the last axis, or a 1 x 1 convolution over axis 1."""

    def __init__(self, student: torch.Size, teacher: torch.Size) -> None:
        super().__init__()
        self.map: nn.Module
        if len(student) != len(teacher):
            raise QGraphError(f"features of {len(student)} and {len(teacher)} dims cannot pair; tap values of the same rank")
        if len(student) >= 4:
            if student[2:] != teacher[2:]:
                raise QGraphError(
                    f"features of sizes {list(student[2:])} and {list(teacher[2:])} cannot pair; "
                    "tap layers of the same resolution"
                )
            self.map = {4: nn.Conv2d, 5: nn.Conv3d}[len(student)](student[1], teacher[1], 1)
        else:
            self.map = nn.Linear(student[-1], teacher[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.map(x)  # type: ignore[no-any-return]


class Feature(Loss):
    """L = mean (r(f^S) - f^T)^2, r a learned regressor where the widths differ. FitNets (Romero et al. 2015), equation 3."""

    name = "feature"
    needs = ("feature",)

    def __init__(self) -> None:
        super().__init__()
        self.regressor: nn.Module = nn.Identity()

    def pair(self, student: Tensor, teacher: Tensor) -> None:
        """Make the regressor for features of these shapes."""
        if student.shape != teacher.shape:
            self.regressor = Regressor(student.shape, teacher.shape)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return F.mse_loss(self.regressor(student), teacher)


class AttentionTransfer(Loss):
    """L = |Q^S/|Q^S| - Q^T/|Q^T||^2, Q = sum over channels of f^2 (a map over space, or over tokens), batch mean.

    Zagoruyko and Komodakis 2017, equation 2; f [B, C, H, W] or [B, N, C].
    """

    name = "attention-transfer"
    needs = ("feature",)

    @staticmethod
    def attention_map(f: Tensor) -> Tensor:
        """Unit-length map [B, places]."""
        channel = 1 if f.ndim >= 4 else -1
        return F.normalize(f.square().mean(channel).reshape(len(f), -1), dim=1)

    def pair(self, student: Tensor, teacher: Tensor) -> None:
        places = [list(f.shape[2:] if f.ndim >= 4 else f.shape[1:-1]) for f in (student, teacher)]
        if places[0] != places[1]:
            raise QGraphError(
                f"attention maps of sizes {places[0]} and {places[1]} cannot pair; tap layers of the same resolution"
            )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (self.attention_map(student) - self.attention_map(teacher)).square().sum(1).mean()


class AttentionScores(Loss):
    """L = mean (a^S - a^T)^2 over the heads' scores before softmax, masked places left out; a [B, h, N, M].

    TinyBERT (Jiao et al. 2020), equation 7.
    """

    name = "attention-scores"
    needs = ("attention",)

    def pair(self, student: Tensor, teacher: Tensor) -> None:
        if student.shape != teacher.shape:
            raise QGraphError(
                f"attention of shapes {list(student.shape)} and {list(teacher.shape)} cannot pair (the numbers of heads differ); "
                "use the loss minilm-relation, which takes any number"
            )

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        far = torch.finfo(student.dtype).min / 4
        seen = (student > far) & (teacher > far)
        zero = torch.zeros_like(student)
        return F.mse_loss(torch.where(seen, student, zero), torch.where(seen, teacher, zero))


class MiniLmRelation(Loss):
    """L = mean over heads and rows of KL(R^T || R^S), R = softmax(X X^T / sqrt(d)) for X among queries, keys and values, split
    into ``heads`` relation heads, so that widths and numbers of heads may differ; X [B, N, D].

    MiniLM v2 (Wang et al. 2021), equations 5 to 7.
    """

    name = "minilm-relation"
    needs = ("query", "key", "value")

    def __init__(self, heads: int = 12) -> None:
        super().__init__()
        self.heads = heads

    def relations(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        if d % self.heads:
            raise QGraphError(f"loss 'minilm-relation' cannot split a width of {d} into {self.heads} heads; set heads")
        split = x.reshape(b, n, self.heads, d // self.heads).transpose(1, 2)
        return F.log_softmax(split @ split.transpose(-1, -2) / (d // self.heads) ** 0.5, -1)

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        ours, theirs = self.relations(student), self.relations(teacher)
        return F.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1).mean()
