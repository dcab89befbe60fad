// Constant weight codes as the matrix kernels read them.
#pragma once

#include <vector>

#include "backend/cpu/isa/sparse_layout.h"
#include "ops/weight_codes.h"
#include "support/memory.h"

namespace qgraph::cpu {

/// All codes, a byte each.
std::vector<int8_t> unpack_codes(const WeightCodes& w);

/// Pack n columns of `depth` codes, `stride` codes apart, the first at `from`. They keep their bits: `packed` has
/// packed_bytes(n, depth, w.width()), `sums` round_up(n, 16) elements.
PackedWeights pack_codes(const WeightCodes& w, int64_t from, int64_t n, int64_t depth, int64_t stride, const Kernels& kernels,
                         int8_t* packed, int32_t* sums);

/// Memory of weights packed in a sparse form.
struct SparseMemory {
  AlignedBytes data;
  int64_t bytes = 0;
  std::vector<int64_t> starts;
  std::vector<int32_t> depths, sums;
};

/// Pack n columns of `depth` codes of 8 bits, one after another, leaving out what the form leaves out.
PackedWeights pack_sparse(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form, SparseMemory& memory);

}  // namespace qgraph::cpu
