// Constant weight codes of 8, 4 or 2 bits, as a program stores them and as the matrix kernels read them.
#pragma once

#include "kernels/op.h"

namespace qgraph {

/// Whether a constant may hold weight codes.
inline bool is_codes(DType type) { return type == DType::I8 || type == DType::I4 || type == DType::I2; }

/// Code i of a constant.
inline int8_t code_at(const TensorInfo& w, int64_t i) {
  if (w.type == DType::I8) return static_cast<int8_t>(w.data[i]);
  return w.type == DType::I4 ? int4_at(w.data, i) : int2_at(w.data, i);
}

/// Pack n columns of `depth` codes, `stride` codes apart, the first at `from`. They keep their bits: `packed` has
/// packed_bytes(n, depth, bits(w.type)), `sums` round_up(n, 16) elements.
PackedWeights pack_codes(const TensorInfo& w, int64_t from, int64_t n, int64_t depth, int64_t stride, const Kernels& kernels,
                         int8_t* packed, int32_t* sums);

}  // namespace qgraph
