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

// What lies in front of the codes of a dequantized constant.
struct Quantizer {
  int64_t bits, is_signed, levels, axis, inner, block, scales, zeros;
};

uint64_t padded(uint64_t bytes) { return (bytes + 3) / 4 * 4; }

bool is_sound(const Quantizer& q, int64_t n) {
  const bool widths = q.bits == 8 || q.bits == 4 || q.bits == 2;
  const bool flags = (q.is_signed == 0 || q.is_signed == 1) && (q.zeros == 0 || q.zeros == 1);
  const bool levels = q.levels == 0 || (q.bits <= 8 && q.levels == int64_t{1} << q.bits && q.is_signed == 0);
  if (!widths || !flags || !levels || n < 1 || q.axis < 1 || q.inner < 1 || q.axis > n || q.inner > n / q.axis) return false;
  if (n % (q.axis * q.inner) != 0 || q.block < 0 || q.block > q.axis) return false;
  return q.scales == (q.block == 0 ? q.axis : n / (q.axis * q.inner) * ((q.axis + q.block - 1) / q.block) * q.inner);
}

// Codes with scales; false where the sizes do not fit.
bool dequantize(const uint8_t* from, uint64_t size, int64_t n, std::vector<uint8_t>& to) {
  Quantizer q;
  if (size < sizeof q) return false;
  std::memcpy(&q, from, sizeof q);
  if (!is_sound(q, n)) return false;
  const auto count = static_cast<uint64_t>(q.scales), total = static_cast<uint64_t>(n), width = static_cast<uint64_t>(q.bits);
  const uint64_t zeros_at = sizeof q + count * sizeof(float), levels_at = zeros_at + (q.zeros ? padded(count * 2) : 0),
                 codes_at = levels_at + padded(static_cast<uint64_t>(q.levels));
  if (size != codes_at + (total * width + 7) / 8) return false;
  to.assign(total * sizeof(float) + 1, 0);
  const int64_t blocks = q.block == 0 ? 1 : (q.axis + q.block - 1) / q.block;
  const int sign = q.is_signed ? 1 << (q.bits - 1) : 0, mask = (1 << q.bits) - 1;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t a = i / q.inner % q.axis;
    const auto s =
        static_cast<uint64_t>(q.block == 0 ? a : (i / (q.inner * q.axis) * blocks + a / q.block) * q.inner + i % q.inner);
    const uint64_t bit = static_cast<uint64_t>(i) * width;
    int code = from[codes_at + bit / 8] >> (bit % 8) & mask;
    code = q.levels ? static_cast<int8_t>(from[levels_at + static_cast<uint64_t>(code)]) : (code ^ sign) - sign;
    int16_t zero = 0;
    if (q.zeros) std::memcpy(&zero, from + zeros_at + s * 2, 2);
    float scale;
    std::memcpy(&scale, from + sizeof q + s * sizeof scale, sizeof scale);
    const float value = static_cast<float>(code - zero) * scale;
    std::memcpy(to.data() + static_cast<uint64_t>(i) * sizeof value, &value, sizeof value);
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
    case schema::Encoding::Dequantized:
      return dequantize(constant.data, constant.size, n, to);
    case schema::Encoding::Dense:
      break;
  }
  return false;
}

}  // namespace qgraph
