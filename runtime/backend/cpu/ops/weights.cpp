#include "backend/cpu/ops/weights.h"

#include <algorithm>
#include <cstring>

namespace qgraph::cpu {
namespace {

// A panel of 8 bits, `bytes` long, into the fields of one of `bits`.
void squeeze(const int8_t* panel, int64_t bytes, int width, int8_t* out) {
  constexpr int64_t kWord = kPanel * kDepth;
  const int fields = 8 / width;
  for (int64_t w = 0; w * kWord < bytes; ++w) {
    const int8_t* from = panel + w * kWord;
    int8_t* to = out + w / fields * kWord;
    const int shift = static_cast<int>(w % fields) * width, mask = (1 << width) - 1;
    for (int64_t i = 0; i < kWord; ++i) to[i] = static_cast<int8_t>(to[i] | (from[i] & mask) << shift);
  }
}

}  // namespace

std::vector<int8_t> unpack_codes(const WeightCodes& w) {
  std::vector<int8_t> codes(static_cast<size_t>(elements(w.info.shape)));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = w.at(static_cast<int64_t>(i));
  return codes;
}

PackedWeights pack_codes(const WeightCodes& w, int64_t from, int64_t n, int64_t depth, int64_t stride, const Kernels& kernels,
                         int8_t* packed, int32_t* sums) {
  const int width = w.width();
  const PackedWeights result{packed, sums, n, depth, width, w.levels};
  if (width == 8) {
    kernels.pack(w.info.data + from, n, depth, stride, 1, false, packed, sums);
    return result;
  }
  const int64_t bytes = packed_bytes(kPanel, depth);
  std::memset(packed, 0, static_cast<size_t>(packed_bytes(n, depth, width)));
  std::vector<uint8_t> codes(static_cast<size_t>(kPanel * depth));
  std::array<int32_t, kPanel> unused;
  AlignedBytes panel;
  panel.resize(static_cast<size_t>(bytes));
  for (int64_t column = 0; column < n; column += kPanel) {
    const int64_t columns = std::min<int64_t>(kPanel, n - column);
    const auto fill = [&](auto code) {
      for (int64_t c = 0; c < columns; ++c)
        for (int64_t d = 0; d < depth; ++d)
          codes[static_cast<size_t>(c * depth + d)] = static_cast<uint8_t>(code(from + (column + c) * stride + d));
    };
    fill([&](int64_t i) { return w.at(i); });  // for the sums
    kernels.pack(codes.data(), columns, depth, depth, 1, false, panel.data(), sums + column);
    fill([&](int64_t i) { return w.raw(i); });
    kernels.pack(codes.data(), columns, depth, depth, 1, false, panel.data(), unused.data());
    squeeze(panel.data(), bytes, width, packed + column / kPanel * panel_bytes(depth, width));
  }
  return result;
}

}  // namespace qgraph::cpu
