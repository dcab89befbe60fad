// Constant weight codes of 8, 4 or 2 bits, as a program stores them and as the matrix kernels read them.
#pragma once

#include "kernels/op.h"

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

/// Depth that a block of the form TwoOfFour covers, and its bytes for a panel: places, then codes. The panels of a group of
/// columns take turns, so that a group is one stream for memory.
constexpr int64_t kPairDepth = 32;
constexpr int64_t kPairBytes = 5 * kPanel * kDepth;
constexpr int64_t kPairColumns = 4 * kPanel;

/// Where the panel of a column begins, and the bytes from a block of it to the next.
struct PairPlace {
  int64_t offset, stride;
};
inline PairPlace pair_place(int64_t n, int64_t k, int64_t column) {
  const int64_t group = column / kPairColumns * kPairColumns, left = n - group < kPairColumns ? n - group : kPairColumns;
  const int64_t stride = round_up(left, kPanel) / kPanel * kPairBytes, blocks = round_up(k, kPairDepth) / kPairDepth;
  return {group / kPanel * blocks * kPairBytes + (column - group) / kPanel * kPairBytes, stride};
}

/// Whether codes of 8 bits fit a form: no more than two of four neighbours are not zero (Words and Dense fit any).
bool fits(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form);

/// Pack n columns of `depth` codes of 8 bits, one after another, leaving out what the form leaves out.
PackedWeights pack_sparse(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form, SparseMemory& memory);

}  // namespace qgraph
