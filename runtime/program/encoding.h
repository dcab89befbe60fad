// Encoded constants: their elements from the bytes in a file (see Encoding in the schema).
#pragma once

#include <cstdint>
#include <vector>

#include "program/tables.h"

namespace qgraph {

/// The n elements of `width` bits that an encoded constant holds, packed; false where the sizes do not fit.
bool decode(const EncodedInfo& constant, int64_t n, int width, std::vector<uint8_t>& to);

}  // namespace qgraph
