// Copies and fills at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/thread_pool.h"

namespace qgraph::cpu {

/// Bytes that are worth handing to another thread.
constexpr int64_t kCopyGrain = 1 << 15;

/// Items of `bytes` each that a thread takes at least.
inline int64_t copy_grain(int64_t bytes) { return bytes >= kCopyGrain ? 1 : kCopyGrain / (bytes > 0 ? bytes : 1); }

/// Write n times the element of 1, 2, 4 or 8 bytes at `value`.
void fill_elements(uint8_t* to, const void* value, size_t size, int64_t n);

/// Copy `bytes` of each of `rows` rows, which begin from_step and to_step bytes after one another; long rows are split too.
void copy_rows(ThreadPool& pool, const uint8_t* from, int64_t from_step, uint8_t* to, int64_t to_step, int64_t bytes,
               int64_t rows);

/// Call f(T{}) with an unsigned integer of `size` bytes.
template <typename F>
void with_word(size_t size, F&& f) {
  switch (size) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    case 4:
      return f(uint32_t{});
    default:
      return f(uint64_t{});
  }
}

}  // namespace qgraph::cpu
