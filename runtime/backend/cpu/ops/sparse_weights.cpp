// Weights of 8 bits packed without (most of) their zeros.
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kWord = kPanel * kDepth;

void pack_pairs(const int8_t* codes, int64_t n, int64_t depth, SparseMemory& memory) {
  const int64_t blocks = round_up(depth, kPairDepth) / kPairDepth, panels = round_up(n, kPanel) / kPanel;
  const auto bytes = static_cast<size_t>(panels * blocks * kPairBytes);
  memory.bytes = static_cast<int64_t>(bytes);
  int8_t* to = memory.data.resize(bytes);
  std::memset(to, 0, bytes);
  for (int64_t c = 0; c < n; ++c) {
    const PairPlace place = pair_place(n, depth, c);
    for (int64_t group = 0; group < depth; group += kDepth) {
      int8_t* block = to + place.offset + group / kPairDepth * place.stride + c % kPanel * kDepth;
      const int64_t s = group % kPairDepth / 8;
      int64_t j = group % 8 / kDepth * 2;  // bytes 0 and 1 for the first four of a word's eight, 2 and 3 for the others
      for (int64_t i = 0; i < std::min<int64_t>(kDepth, depth - group); ++i) {
        const int8_t code = codes[c * depth + group + i];
        if (code == 0) continue;
        block[(1 + s) * kWord + j] = code;
        block[j] = static_cast<int8_t>(block[j] | i << (2 * s));
        ++j;
      }
    }
  }
}

// The codes of 16 columns from c and 4 of depth from d, zero beyond the ends; false where all are zero.
bool read_word(const int8_t* codes, int64_t n, int64_t depth, int64_t c, int64_t d, int8_t* word) {
  std::memset(word, 0, kWord);
  for (int64_t i = 0; i < std::min<int64_t>(kPanel, n - c); ++i)
    std::memcpy(word + i * kDepth, codes + (c + i) * depth + d, static_cast<size_t>(std::min<int64_t>(kDepth, depth - d)));
  return std::any_of(word, word + kWord, [](int8_t v) { return v != 0; });
}

void pack_words(const int8_t* codes, int64_t n, int64_t depth, SparseMemory& memory) {
  int8_t word[kWord];
  memory.starts.assign(1, 0);
  for (int64_t c = 0; c < n; c += kPanel) {
    for (int64_t d = 0; d < depth; d += kDepth)
      if (read_word(codes, n, depth, c, d, word)) memory.depths.push_back(static_cast<int32_t>(d));
    memory.starts.push_back(static_cast<int64_t>(memory.depths.size()));
  }
  memory.bytes = static_cast<int64_t>(memory.depths.size()) * (kWord + 4);
  int8_t* to = memory.data.resize(memory.depths.size() * kWord);
  for (size_t p = 0; p + 1 < memory.starts.size(); ++p)
    for (int64_t i = memory.starts[p]; i < memory.starts[p + 1]; ++i)
      read_word(codes, n, depth, static_cast<int64_t>(p) * kPanel, memory.depths[static_cast<size_t>(i)], to + i * kWord);
}

}  // namespace

PackedWeights pack_sparse(const WeightCodes& w, int64_t n, int64_t depth, SparseForm form, SparseMemory& memory) {
  const auto* codes = reinterpret_cast<const int8_t*>(w.info.data);
  memory.sums.assign(static_cast<size_t>(round_up(n, kPanel)), 0);
  for (int64_t c = 0; c < n; ++c)
    for (int64_t d = 0; d < depth; ++d) memory.sums[static_cast<size_t>(c)] += codes[c * depth + d];
  if (form == SparseForm::TwoOfFour)
    pack_pairs(codes, n, depth, memory);
  else
    pack_words(codes, n, depth, memory);
  return {memory.data.data(), memory.sums.data(), n, depth, 8, kSigned.four, form, memory.starts.data(), memory.depths.data()};
}

}  // namespace qgraph::cpu
