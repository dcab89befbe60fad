"""Reading and writing models: atomic, external data beside the file when it is large, clear refusals."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.dialects import QDQ
from qgraph.ir.faults import fault_of, put_right, twice
from qgraph.ir.patterns import attr
from qgraph.ir.scopes import where

EXTERNAL_LIMIT = 1_500_000_000  # protobuf refuses files of 2 GiB; leave room for the graph itself

PROGRAM = b"QGP1"
"""Bytes 4 to 7 of a program file (``runtime/schema/program.fbs``)."""


def is_program(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a program of the runtime: by its content, or by its name where it is damaged or not there."""
    if Path(path).suffix == ".qgp":
        return True
    try:
        with open(path, "rb") as file:
            return file.read(8)[4:] == PROGRAM
    except OSError:
        return False


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary name beside ``path`` and rename it to ``path`` on success; on failure leave nothing."""
    target = Path(path)
    if target.is_dir():
        raise QGraphError(f"cannot write {target}: it is a folder; give a file name")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent or ".")
    except OSError as error:
        raise QGraphError(f"cannot write {target}: {error.strerror}; choose a writable folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, target)
    except OSError as error:
        raise QGraphError(f"cannot write {target}: {error.strerror or error}; nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)


def stored_values(model: ir.Model) -> list[ir.Value]:
    """The values that hold stored tensors, also in branches and loops: initializers, and outputs of Constant nodes."""
    found = [v for graph in model.graphs() for v in graph.initializers.values()]
    found += [n.outputs[0] for n in model.graph.all_nodes() if n.op_type == "Constant" and not n.domain]
    return [v for v in found if ir.convenience.get_const_tensor(v) is not None]


def size_of(model: ir.Model) -> int:
    """Bytes of all stored tensors, also those of branches and loops."""
    return sum(tensor.nbytes for v in stored_values(model) if (tensor := ir.convenience.get_const_tensor(v)) is not None)


def load(path: str | os.PathLike[str]) -> ir.Model:
    """Read an ONNX file as it is (no upgrade; ``qgraph.capture.from_onnx`` does that)."""
    file = Path(path)
    if not file.is_file():
        raise QGraphError(f"cannot read {file}: no such file")
    try:
        proto = onnx.load(file, load_external_data=False)
        fault = twice(proto)
        model = ir.from_proto(proto)
        ir.external_data.set_base_dir(model.graph, file.parent)
    except Exception as error:
        fault = fault_of(proto) if isinstance(error, ir.serde.SerdeError) else ""
        if fault:
            raise QGraphError(f"cannot read {file}: {fault}") from None
        raise QGraphError(
            f"cannot read {file}: not a complete ONNX file ({type(error).__name__}); export or copy it again"
        ) from error
    if fault:
        raise QGraphError(f"cannot read {file}: {fault}")
    if model.ir_version is None or not (len(model.graph.outputs) or len(model.graph)):
        raise QGraphError(f"cannot read {file}: it holds no ONNX graph; is it an ONNX file?")
    put_right(model, str(file))
    _read_external(model, file)
    _decode(model, file)
    _complete(model, file)
    return model


def _complete(model: ir.Model, file: Path) -> None:
    """Say type and shape of what Constant nodes hold, and of what quantizers make, which follows from their inputs."""
    for node in model.graph:
        if node.op_type == "Constant" and not node.domain:
            tensor = ir.convenience.get_const_tensor(node.outputs[0])
            if tensor is not None and node.outputs[0].shape is None:
                node.outputs[0].shape, node.outputs[0].dtype = ir.Shape(tuple(tensor.shape)), tensor.dtype  # type: ignore[arg-type]
        if node.domain or node.op_type not in QDQ or len(node.inputs) < 2 or any(v is None for v in node.inputs[:2]):
            continue
        (x, scale, *rest), out = node.inputs, node.outputs[0]
        point = rest[0] if rest and rest[0] is not None else None
        try:
            dtype = ir.DataType(attr(node, "output_dtype", 0))
        except ValueError:
            raise QGraphError(
                f"cannot read {file}: {where(node)} makes a type that ONNX does not know (output_dtype); export it again"
            ) from None
        if not dtype:
            like = scale if node.op_type == "DequantizeLinear" else point
            dtype = ir.DataType.UINT8 if like is None else like.dtype or dtype
        if out.type is None and dtype:
            out.type = ir.TensorType(dtype)
        if out.shape is None and x is not None:
            out.shape = x.shape


def _read_external(model: ir.Model, file: Path) -> None:
    """Let tensors whose data lie in other files be mapped from there, so that nothing names these files any more.

    ONNX's specification (external data) wants a path relative to the model's folder and within it. In caches of model hubs both
    files are links into one folder of contents, so data may lie where the model really lies.
    """
    read: dict[ir.ExternalTensor, ir.Tensor] = {}

    def mapped(tensor: ir.ExternalTensor) -> ir.Tensor:
        if tensor not in read:
            place = os.path.normpath(tensor.location)
            if os.path.isabs(place) or place.startswith(".."):
                raise QGraphError(
                    f"cannot read {file}: the data of {tensor.name!r} are said to lie at {os.fspath(tensor.location)!r}, which "
                    "is not in the folder of the model; save it with its data file beside it"
                )
            data = file.parent / place
            if not data.is_file():
                raise QGraphError(
                    f"cannot read {file}: external data file {data} of initializer {tensor.name!r} is missing; "
                    "keep it in the folder of the model"
                )
            if data.stat().st_size < (tensor.offset or 0) + (tensor.length or tensor.nbytes):
                raise QGraphError(f"cannot read {file}: external data file {data} is cut short; copy it again")
            real, homes = data.resolve(), (file.parent.resolve(), file.resolve().parent)
            if not real.is_relative_to(homes[0]) and real.parent != homes[1]:
                raise QGraphError(
                    f"cannot read {file}: external data file {data} is a link to {real}, outside of the folder of the model; "
                    "copy the model and its data file into one folder"
                )
            held = ir.ExternalTensor(
                real.name,
                tensor.offset,
                tensor.length,
                tensor.dtype,
                shape=tensor.shape,
                name=tensor.name or "",
                base_dir=real.parent,
            )
            try:
                array = held.numpy()
            except (ValueError, OSError) as error:
                raise QGraphError(
                    f"cannot read {file}: the external data of {tensor.name!r} are no such tensor: {error}"
                ) from error
            read[tensor] = ir.Tensor(array, dtype=tensor.dtype, name=tensor.name, doc_string=tensor.doc_string)
        return read[tensor]

    for graph in [*model.graphs(), *(g for f in model.functions.values() for g in (f.graph, *f.subgraphs()))]:
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = mapped(value.const_value)
        for node in graph:
            for name, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR and isinstance(attribute.value, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, mapped(attribute.value))


def _decode(model: ir.Model, file: Path) -> None:
    """Take the weights out of their protobuf messages, which would copy them at every look.

    Raises:
        QGraphError: type or dims of an initializer do not go with its data.
    """
    for graph in model.graphs():
        for name, value in graph.initializers.items():
            tensor = value.const_value
            if tensor is None:
                continue
            array = _array(tensor, f"cannot read {file}: initializer {name!r}")
            if value.shape is None:  # one that is declared as an input too, without its shape
                value.shape = ir.Shape(array.shape)
            if isinstance(tensor, ir.TensorProtoTensor) and tensor.dtype != ir.DataType.STRING and tensor.dtype.bitwidth >= 8:
                value.const_value = ir.Tensor(array, dtype=tensor.dtype, name=name, doc_string=tensor.doc_string)
        for node in graph:
            for name, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                    _array(attribute.value, f"cannot read {file}: {where(node)}: the tensor {name!r}")


def _array(tensor: ir.TensorProtocol, which: str) -> np.ndarray:
    """The elements of a tensor; raises QGraphError, which begins with ``which``, where dims, type and data do not go together."""
    try:
        kind, dims = tensor.dtype, [int(d) for d in tensor.shape]  # type: ignore[arg-type]
    except ValueError:
        raise QGraphError(f"{which} has a type that ONNX does not know; export it again") from None
    if kind == ir.DataType.UNDEFINED:
        raise QGraphError(f"{which} has no type; export it again")
    if any(d < 0 for d in dims):
        raise QGraphError(f"{which} has the dims {dims}; no dim is below 0, export it again")
    try:
        return tensor.numpy()
    except Exception as error:  # whatever NumPy, ml_dtypes and onnx_ir say of data that do not fit
        raise QGraphError(f"{which} has the dims {dims} and data of another size or type; export or copy it again") from error


def drop_known_types(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Take the types of initializers and of what quantizers make from ``proto``, in place: both follow from initializers."""
    stored = {tensor.name for tensor in proto.graph.initializer}
    stored |= {name for node in proto.graph.node if not node.domain and node.op_type in QDQ for name in node.output}
    others = [info for info in proto.graph.value_info if info.name not in stored or info.metadata_props]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(others)
    return proto


def save(model: ir.Model, path: str | os.PathLike[str]) -> None:
    """Write ``model`` atomically, whole; weights go to ``<name>.data`` beside it when protobuf could not hold them."""
    target = Path(path)
    with atomic_path(target) as temporary:
        if size_of(model) <= EXTERNAL_LIMIT:
            temporary.write_bytes(drop_known_types(ir.to_proto(model)).SerializeToString())
            return
        # the old data file may be mapped by this very model: a new one takes its place. The graph is renamed last.
        data = f"{target.name}.data"
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            ir.save(model, Path(folder) / target.name, external_data=data)
            os.replace(Path(folder) / data, target.parent / data)
            os.replace(Path(folder) / target.name, temporary)
