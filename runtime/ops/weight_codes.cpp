#include "ops/weight_codes.h"

#include <algorithm>

namespace qgraph {

WeightCodes read_codes(const OpSource& s, size_t index) {
  const TensorInfo& w = s.input(index);
  const bool is_signed = w.type == DType::I8 || w.type == DType::I4 || w.type == DType::I2;
  const auto require = [&](bool ok, const char* why) {
    if (!ok) throw Error(s.info.what() + ": " + why);
  };
  require(w.data != nullptr && (is_signed || w.type == DType::U4 || w.type == DType::U2), "the weights must be constant codes");
  WeightCodes codes{w, kSigned.of(bits(w.type))};
  if (is_signed) return codes;
  const std::vector<int64_t> levels = s.attributes.integers("levels");
  const size_t count = size_t{1} << bits(w.type);
  require(levels.size() == count, "there must be a level for each unsigned code");
  for (int64_t level : levels) require(level >= -128 && level <= 127, "a level is no int8");
  for (size_t i = 0; i < codes.levels.size(); ++i) codes.levels[i] = static_cast<int8_t>(levels[i % count]);
  return codes;
}

bool fits(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form) {
  if (w.width() != 8) return form == SparseForm::Dense;
  if (form != SparseForm::TwoOfFour) return true;
  for (int64_t c = 0; c < n; ++c)
    for (int64_t d = 0; d < depth; d += kSparseDepth) {
      const uint8_t* four = w.info.data + c * depth + d;
      const int64_t count = std::min(kSparseDepth, depth - d);
      if (count - std::count(four, four + count, 0) > 2) return false;
    }
  return true;
}

}  // namespace qgraph
