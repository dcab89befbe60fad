// Attributes of a program's op against the ranges that the integer dialect declares.
#pragma once

#include "program/tables.h"

namespace qgraph {

/// Throws Error, naming the op and the attribute, where one is unknown, of another kind or out of its range.
void check_attributes(const OpInfo& info);

}  // namespace qgraph
