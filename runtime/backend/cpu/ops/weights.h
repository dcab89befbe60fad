// Constant weight codes of 8, 4 or 2 bits, as a program stores them and as the matrix kernels read them.
#pragma once

#include "backend/cpu/isa/sparse_layout.h"
#include "ops/op.h"

namespace qgraph {

/// Constant codes: signed ones, or unsigned ones that choose among `levels`.
struct WeightCodes {
  const TensorInfo& info;
  Levels levels;

  int width() const { return bits(info.type); }
  /// Code i of 8 bits, or field i of fewer, as it lies in the file.
  uint8_t raw(int64_t i) const { return width() == 8 ? info.data[i] : static_cast<uint8_t>(field_at(info.data, i, width())); }
  int8_t at(int64_t i) const { return width() == 8 ? static_cast<int8_t>(raw(i)) : levels[raw(i)]; }
};

/// Input `index` of an op as codes, with the op's attribute `levels` where they are unsigned.
WeightCodes read_codes(const OpSource& s, size_t index);

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

/// Whether codes of 8 bits fit a form: no more than two of four neighbours are not zero (Words and Dense fit any).
bool fits(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form);

/// Pack n columns of `depth` codes of 8 bits, one after another, leaving out what the form leaves out.
PackedWeights pack_sparse(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form, SparseMemory& memory);

}  // namespace qgraph
