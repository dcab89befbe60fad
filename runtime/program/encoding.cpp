#include "program/encoding.h"

#include <cstring>

namespace qgraph {
namespace {

// Elements of a bitmap and what follows it, packed; false where the sizes do not fit.
bool expand_bitmap(const uint8_t* from, uint64_t size, int64_t n, int width, std::vector<uint8_t>& to) {
  const uint64_t map = (static_cast<uint64_t>(n) + 7) / 8;
  if (size < map) return false;
  uint64_t count = 0;
  for (uint64_t i = 0; i < map; ++i) count += static_cast<uint64_t>(__builtin_popcount(from[i]));
  if (n % 8 != 0 && from[map - 1] >> (n % 8) != 0) return false;
  const auto w = static_cast<uint64_t>(width);
  if (size != map + (count * w + 7) / 8) return false;
  to.assign((static_cast<uint64_t>(n) * w + 7) / 8 + 1, 0);  // one byte more: an empty constant has an address too
  const int mask = (1 << width) - 1;
  uint64_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    if ((from[i / 8] >> (i % 8) & 1) == 0) continue;
    const uint64_t source = next++ * w, target = static_cast<uint64_t>(i) * w;
    const int code = from[map + source / 8] >> (source % 8) & mask;
    to[target / 8] = static_cast<uint8_t>(to[target / 8] | code << (target % 8));
  }
  return true;
}

// Elements of groups with a few codes each (see the schema); false where the sizes do not fit.
bool expand_groups(const uint8_t* from, uint64_t size, int64_t n, int width, std::vector<uint8_t>& to) {
  if (size < 2) return false;
  const int kept = from[0], length = from[1];
  if (length < 2 || length > 8 || kept < 1 || kept >= length || n % length != 0) return false;
  std::vector<int> masks;
  for (int mask = 0; mask < 1 << length; ++mask)
    if (__builtin_popcount(static_cast<unsigned>(mask)) == kept) masks.push_back(mask);
  int rank_bits = 1;
  while ((size_t{1} << rank_bits) < masks.size()) ++rank_bits;
  const auto groups = static_cast<uint64_t>(n / length), w = static_cast<uint64_t>(width), b = static_cast<uint64_t>(rank_bits);
  const uint64_t ranks = (groups * b + 7) / 8, codes = (groups * static_cast<uint64_t>(kept) * w + 7) / 8;
  if (size != 2 + ranks + codes) return false;
  to.assign((static_cast<uint64_t>(n) * w + 7) / 8 + 1, 0);
  const auto field = [](const uint8_t* bytes, uint64_t bit, uint64_t count, uint64_t end) {
    uint64_t value = bytes[bit / 8];
    if (bit / 8 + 1 < end) value |= uint64_t{bytes[bit / 8 + 1]} << 8;
    return static_cast<int>(value >> (bit % 8) & ((uint64_t{1} << count) - 1));
  };
  uint64_t next = 0;
  for (uint64_t g = 0; g < groups; ++g) {
    const auto rank = static_cast<size_t>(field(from + 2, g * b, b, ranks));
    if (rank >= masks.size()) return false;
    for (int i = 0; i < length; ++i) {
      if ((masks[rank] >> i & 1) == 0) continue;
      const int code = field(from + 2 + ranks, next++ * w, w, codes);
      const uint64_t target = (g * static_cast<uint64_t>(length) + static_cast<uint64_t>(i)) * w;
      to[target / 8] = static_cast<uint8_t>(to[target / 8] | code << (target % 8));
    }
  }
  return true;
}

// n float32 values times a factor; false where the sizes do not fit.
bool scale(const uint8_t* from, uint64_t size, int64_t n, double factor, std::vector<uint8_t>& to) {
  if (size != static_cast<uint64_t>(n) * sizeof(float)) return false;
  to.assign(size + 1, 0);
  for (uint64_t at = 0; at < size; at += sizeof(float)) {
    float value;
    std::memcpy(&value, from + at, sizeof(float));
    value = static_cast<float>(static_cast<double>(value) * factor);
    std::memcpy(to.data() + at, &value, sizeof(float));
  }
  return true;
}

}  // namespace

bool decode(const EncodedInfo& constant, int64_t n, int width, std::vector<uint8_t>& to) {
  switch (constant.encoding) {
    case schema::Encoding::Bitmap:
      return expand_bitmap(constant.data, constant.size, n, width, to);
    case schema::Encoding::Groups:
      return expand_groups(constant.data, constant.size, n, width, to);
    case schema::Encoding::Scaled:
      return scale(constant.data, constant.size, n, constant.factor, to);
    case schema::Encoding::Dense:
      break;
  }
  return false;
}

}  // namespace qgraph
