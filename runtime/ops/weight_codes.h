// Constant weight codes as a program stores them.
#pragma once

#include "ops/codes.h"
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

/// Input `index` of an op as codes of 8, 4 or 2 bits, with the op's attribute `levels` where they are unsigned.
WeightCodes read_codes(const OpSource& s, size_t index);

/// Neighbours along the depth that a sparse form looks at together.
constexpr int64_t kSparseDepth = 4;

/// Whether codes of 8 bits fit a form: no more than two of four neighbours are not zero (Words and Dense fit any).
bool fits(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form);

}  // namespace qgraph
