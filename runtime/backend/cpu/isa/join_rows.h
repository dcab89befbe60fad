// Rows joined element by element, as pools do with the rows and columns that a window sees.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

namespace qgraph {
namespace {  // compiled for each instruction set that includes it

/// The greater of two numbers or of two vectors of them; a NaN is greater than all.
struct Greater {
  template <typename V>
  V operator()(V a, V b) const {
    const V greater = b > a ? b : a;
    return b != b ? b : greater;
  }
};

struct Plus {
  template <typename V>
  V operator()(V a, V b) const {
    return a + b;
  }
};

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

/// Some neighbours of a row, every kStep-th of them; steps are 1 or 2, and with 2 one more element is read.
template <int64_t kWidth, int64_t kStep, typename From, typename To>
struct Neighbours {
  typedef From Narrow __attribute__((vector_size(kWidth * sizeof(From))));
  typedef To Wide __attribute__((vector_size(kWidth * sizeof(To))));
  static void load(const From* p, Wide& made) {
    Narrow v;
    std::memcpy(&v, p, sizeof(v));
    if constexpr (kStep == 2) {
      Narrow next;
      std::memcpy(&next, p + kWidth, sizeof(next));
      v = evens(v, next, std::make_integer_sequence<int, kWidth>());
    }
    made = __builtin_convertvector(v, Wide);
  }
  template <int... kIndex>
  static Narrow evens(const Narrow& a, const Narrow& b, std::integer_sequence<int, kIndex...>) {
    return __builtin_shufflevector(a, b, (2 * kIndex)...);
  }
};

template <int64_t kWidth, int64_t kStep, typename From, typename To, typename Join>
void join_wide(const From* const* rows, int64_t count, int64_t n, To start, Join join, To* to) {
  if (n < kWidth) {
    if constexpr (kWidth > 2) {
      return join_wide<kWidth / 2, kStep>(rows, count, n, start, join, to);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        To made = start;
        for (int64_t r = 0; r < count; ++r) made = join(made, static_cast<To>(rows[r][i * kStep]));
        to[i] = made;
      }
      return;
    }
  }
  using At = Neighbours<kWidth, kStep, From, To>;
  int64_t i = 0;
  const auto some = [&](auto vectors) {
    constexpr int64_t kVectors = decltype(vectors)::value;
    typename At::Wide made[kVectors];
    for (auto& v : made) v = typename At::Wide{} + start;
    for (int64_t r = 0; r < count; ++r)
      for (int64_t j = 0; j < kVectors; ++j) {
        typename At::Wide v;
        At::load(rows[r] + (i + j * kWidth) * kStep, v);
        made[j] = join(made[j], v);
      }
    std::memcpy(to + i, made, sizeof(made));
  };
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) some(std::integral_constant<int64_t, 4>());
  for (; i + kWidth <= n; i += kWidth) some(std::integral_constant<int64_t, 1>());
  if (i == n) return;
  i = n - kWidth;  // some once more
  some(std::integral_constant<int64_t, 1>());
}

/// to[i] = start joined with rows[0][i * step], then rows[1][i * step] and so on for i < n; `to` overlaps none of the rows, which
/// have one more element than are joined.
template <typename From, typename To, typename Join>
void join_rows(const From* const* rows, int64_t count, int64_t n, int64_t step, To start, Join join, To* to) {
  constexpr auto kWidth = static_cast<int64_t>(kVectorBytes / sizeof(To));
  if (step == 1) return join_wide<kWidth, 1>(rows, count, n, start, join, to);
  if (step == 2) return join_wide<kWidth, 2>(rows, count, n, start, join, to);
  for (int64_t i = 0; i < n; ++i) {
    To made = start;
    for (int64_t r = 0; r < count; ++r) made = join(made, static_cast<To>(rows[r][i * step]));
    to[i] = made;
  }
}

}  // namespace
}  // namespace qgraph
