#include "backend/cpu/ops/copy.h"

#include <algorithm>
#include <cstring>

namespace qgraph::cpu {

void fill_elements(uint8_t* to, const void* value, size_t size, int64_t n) {
  with_word(size, [&]<typename T>(T word) {
    std::memcpy(&word, value, sizeof(T));
    std::fill_n(reinterpret_cast<T*>(to), n, word);
  });
}

void copy_rows(ThreadPool& pool, const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step, int64_t bytes,
               int64_t rows) {
  if (bytes == 0) return;
  if (from_step == bytes && to_step == bytes) {
    bytes *= rows;
    rows = 1;
  }
  constexpr int64_t kPiece = 1 << 17;
  const int64_t pieces = (bytes + kPiece - 1) / kPiece;
  pool.parallel(rows * pieces, copy_grain(std::min(bytes, kPiece)), [&](int64_t begin, int64_t end, int) {
    if (bytes == 4) {  // a call would cost more than the copy
      for (int64_t r = begin; r < end; ++r) std::memcpy(to + r * to_step, from + r * from_step, 4);
      return;
    }
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / pieces, start = i % pieces * kPiece;
      std::memcpy(to + row * to_step + start, from + row * from_step + start,
                  static_cast<size_t>(std::min(kPiece, bytes - start)));
    }
  });
}

}  // namespace qgraph::cpu
