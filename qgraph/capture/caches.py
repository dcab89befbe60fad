"""Caches of keys and values of the transformers package as inputs and outputs of a captured module.

    DynamicCache of n layers   <->   [{"key": tensor, "value": tensor}, ...]
    EncoderDecoderCache        <->   [{"decoder": {"key", "value"}, "encoder": {"key", "value"}}, ...]

``torch.export`` takes lists and dicts of tensors and does not know these classes. While a module is captured, its ``forward``
takes and returns the plain form.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def is_cache(value: Any) -> bool:
    """Whether ``value`` is a cache of the transformers package."""
    known = sys.modules.get("transformers.cache_utils")
    return known is not None and isinstance(value, known.Cache)


def is_pair(value: Any) -> bool:
    """Whether ``value`` is a cache of a decoder's own tokens beside one of the encoder's."""
    return hasattr(value, "cross_attention_cache")


def plain(value: Any) -> Any:
    """``value`` with every cache in it as lists and dicts; what holds none is returned as it is."""
    if is_cache(value):
        if not is_pair(value):
            return [_layer(layer) for layer in value.layers]
        sides = plain(value.self_attention_cache), plain(value.cross_attention_cache)
        return [{"decoder": one, "encoder": other} for one, other in zip(*sides, strict=True)]
    if isinstance(value, Mapping):
        items = {k: plain(v) for k, v in value.items()}
        return items if any(items[k] is not v for k, v in value.items()) else value
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        parts = [plain(v) for v in value]
        return type(value)(parts) if any(a is not b for a, b in zip(parts, value, strict=True)) else value
    return value


def _layer(layer: Any) -> dict[str, Any]:
    if getattr(layer, "keys", None) is None:
        return {}
    return {"key": layer.keys, "value": layer.values}


def rebuilt(like: Any, value: Any) -> Any:
    """The plain ``value`` with caches where ``like`` has some, of their classes and settings."""
    if is_cache(like) and not is_cache(value):
        made = copy.copy(like)
        if is_pair(like):
            made.self_attention_cache = rebuilt(like.self_attention_cache, [v["decoder"] for v in value])
            made.cross_attention_cache = rebuilt(like.cross_attention_cache, [v["encoder"] for v in value])
            made.is_updated = dict(like.is_updated)
            return made
        made.layers = [copy.copy(layer) for layer in like.layers]
        for layer, tensors in zip(made.layers, value, strict=True):
            if tensors:
                layer.keys, layer.values = tensors["key"], tensors["value"]
        return made
    if isinstance(like, Mapping) and isinstance(value, Mapping):
        return {k: rebuilt(like.get(k), v) for k, v in value.items()} if plain(like) is not like else value
    if isinstance(like, list | tuple) and isinstance(value, list | tuple) and plain(like) is not like:
        return type(like)(rebuilt(a, b) for a, b in zip(like, value, strict=True))
    return value


def plain_shapes(like: Any, shapes: Any) -> Any:
    """``dynamic_shapes`` of ``like`` for its plain form.

    A cache may have the dims of one tensor, for all of them; a list a layer; or all keys and then all values.
    """
    if is_cache(like):
        layers = plain(like)
        if shapes is None or (isinstance(shapes, Mapping) and all(isinstance(axis, int) for axis in shapes)):
            return _spread(layers, shapes)
        if isinstance(shapes, Sequence) and len(shapes) == 2 and all(_is_column(column, len(layers)) for column in shapes):
            return [{"key": k, "value": v} for k, v in zip(*shapes, strict=True)]
        if isinstance(shapes, Sequence) and all(isinstance(s, Sequence) and len(s) == 2 for s in shapes):
            return [{"key": k, "value": v} for k, v in shapes]
        return shapes
    if isinstance(like, Mapping) and isinstance(shapes, Mapping):
        return {k: plain_shapes(like.get(k), s) for k, s in shapes.items()}
    if isinstance(like, list | tuple) and isinstance(shapes, list | tuple) and len(like) == len(shapes):
        return type(shapes)(plain_shapes(a, b) for a, b in zip(like, shapes, strict=True))
    return shapes


def _is_column(column: Any, layers: int) -> bool:
    return isinstance(column, Sequence) and len(column) == layers


def _spread(value: Any, dims: Any) -> Any:
    """``dims`` for every tensor in ``value``."""
    if isinstance(value, Mapping):
        return {k: _spread(v, dims) for k, v in value.items()}
    return [_spread(v, dims) for v in value] if isinstance(value, list) else dims


@contextlib.contextmanager
def taking_plain(
    module: Any, args: Sequence[Any], kwargs: Mapping[str, Any], signature: inspect.Signature | None = None
) -> Iterator[None]:
    """Let ``forward`` of ``module`` take the plain form of ``args`` and ``kwargs`` and return that of its outputs.

    Args:
        signature: what ``forward`` says that it takes for the time, if it is another: ``torch.export`` has no dynamic shapes of
            what is in ``**kwargs``.
    """
    if "transformers.cache_utils" not in sys.modules and signature is None:
        yield
        return
    original = module.forward

    @functools.wraps(original)
    def forward(*given: Any, **named: Any) -> Any:
        given = tuple(rebuilt(like, v) for like, v in zip(args, given, strict=False)) + given[len(args) :]
        return plain(original(*given, **{k: rebuilt(kwargs.get(k), v) for k, v in named.items()}))

    if signature is not None:
        forward.__signature__ = signature  # type: ignore[attr-defined]
    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
