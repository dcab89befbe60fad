// What a program takes and gives, and checks of what a caller gives it.
#pragma once

#include "program/tables.h"

namespace qgraph {

/// Name, type, shape and symbols of some tensors.
std::vector<Signature> signatures_of(const std::vector<TensorInfo>& tensors, const std::vector<int>& indices);

/// Throws Error where shapes do not fit the inputs, or a symbol would have two values.
void check_shapes(const std::vector<Signature>& inputs, const std::vector<Shape>& shapes);

/// Throws Error where the type of an array is not that of its input.
void check_types(const std::vector<Signature>& inputs, const std::vector<Array>& arrays);

}  // namespace qgraph
