#include "backend/cpu/ops/epilogue.h"

#include <cmath>

namespace qgraph::cpu {

Epilogue epilogue_of(const OutputFormat& output) {
  Epilogue e;
  e.type = output.type;
  e.zero = output.zero;
  e.low = static_cast<float>(output.low);
  e.high = static_cast<float>(output.high);
  return e;
}

void set_residual(Epilogue& e, const Residual& residual) {
  e.residual_type = residual.type;
  e.residual_zero = residual.zero;
  e.residual_multiplier = residual.multiplier;
  e.intermediate = residual.intermediate;
  e.intermediate_low = static_cast<float>(residual.intermediate_low);
  e.intermediate_high = static_cast<float>(residual.intermediate_high);
  e.intermediate_multiplier = residual.intermediate_multiplier;
}

std::vector<int32_t> fold_zero_point(Epilogue& e, const int32_t* column_sums, int64_t n, int32_t x_zero) {
  std::vector<int32_t> folded(static_cast<size_t>(n));
  for (int64_t c = 0; c < n; ++c) {
    const int64_t bias = (e.bias == nullptr ? 0 : int64_t{e.bias[c]}) - int64_t{x_zero} * column_sums[c];
    folded[static_cast<size_t>(c)] = static_cast<int32_t>(bias);  // modulo 2^32, as the sum that it joins
  }
  e.bias = folded.data();
  return folded;
}

bool is_bounded(const Epilogue& e, int64_t n) {
  if (e.multiplier_stride == 0) n = 1;
  for (int64_t c = 0; c < n; ++c)
    if (!(std::abs(e.multiplier[c]) < 0.5f)) return false;  // nor NaN
  // times 17 bits these are below 2^30, as the above times 32 bits
  return std::abs(e.residual_multiplier) < 8192 && std::abs(e.intermediate_multiplier) < 8192;
}

}  // namespace qgraph::cpu
