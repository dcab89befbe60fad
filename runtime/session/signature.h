// What a program takes and gives, and checks of what a caller gives it.
#pragma once

#include "program/tables.h"

namespace qgraph {

/// Name, type, shape and symbols of some tensors.
std::vector<Signature> signatures_of(const std::vector<TensorInfo>& tensors, const std::vector<int>& indices);

/// Throws Error where shapes do not fit the inputs, or a symbol would have two values.
void check_shapes(const std::vector<Signature>& inputs, const std::vector<Shape>& shapes);

/// Throws Error where another number of arrays is given than there are inputs.
void check_count(const std::vector<Signature>& inputs, size_t given);

/// Throws Error where `type` is not that of an input.
void check_type(const Signature& input, DType type);

/// Whether an input takes a shape, by itself.
bool fits(const Signature& input, const Shape& shape);

/// The shape of an input, its free dims as long as others with the same symbol among `shapes`, which may be empty; 0 without one.
Shape free_dims_set(const std::vector<Signature>& inputs, size_t input, const std::vector<Shape>& shapes);

/// The place of a name among inputs or outputs (`what`); throws Error where there is none.
size_t index_of(const std::vector<Signature>& signatures, const std::string& name, const char* what);

std::string show(const Shape& shape);

}  // namespace qgraph
