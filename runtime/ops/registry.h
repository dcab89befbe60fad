// All kinds of ops.
#pragma once

#include <memory>

#include "ops/op.h"

namespace qgraph {

/// Make the op of a program; throws Error when its kind is unknown or its attributes are bad.
std::unique_ptr<Op> make_op(const OpSource& source);

}  // namespace qgraph
