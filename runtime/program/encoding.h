// Encoded constants: their elements from the bytes in a file (see Encoding in the schema).
#pragma once

#include <cstdint>
#include <vector>

#include "program_generated.h"

namespace qgraph {

/// The n codes of `width` bits that `size` bytes hold, packed; false where the sizes do not fit.
bool decode(schema::Encoding encoding, const uint8_t* from, uint64_t size, int64_t n, int width, std::vector<uint8_t>& to);

}  // namespace qgraph
