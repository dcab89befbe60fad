#include "backend/cpu/ops/copy_by_table.h"

#include <cstring>

#include "backend/cpu/ops/copy.h"
#include "ops/shape.h"

namespace qgraph::cpu {

void CopyByTable::plan(const Shape& from, const Shape& to, std::vector<std::vector<int64_t>> tables) {
  shape_ = to;
  strides_ = strides_of(from);
  tables_ = std::move(tables);
  runs_.clear();
  block_ = 1;
  last_ = to.size();
  while (last_ > 0 && tables_[last_ - 1].empty()) block_ *= to[--last_];
  if (last_ == 0) return;
  const auto& table = tables_[--last_];
  for (int64_t i = 0; i < to[last_]; ++i) {
    const int64_t at = table[static_cast<size_t>(i)];
    if (!runs_.empty() && at == (runs_.back().from < 0 ? -1 : runs_.back().from + runs_.back().count))
      ++runs_.back().count;
    else
      runs_.push_back({i, at, 1});
  }
  repeats_ = from[last_] > 0 && to[last_] % from[last_] == 0 ? to[last_] / from[last_] : 0;
  for (int64_t i = 0; i < to[last_] && repeats_ != 0; ++i)
    if (table[static_cast<size_t>(i)] != i / repeats_) repeats_ = 0;
}

namespace {

/// y = each of n elements `times` times.
template <typename T, int64_t kTimes = 0>
void repeat(const T* x, int64_t n, int64_t times, T* y) {
  if constexpr (kTimes != 0) times = kTimes;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < times; ++j) y[i * times + j] = x[i];
}

}  // namespace

void CopyByTable::row(const uint8_t* from, uint8_t* to, size_t size, const void* fill) const {
  const auto& table = tables_[last_];
  constexpr size_t kShort = 8;
  if (block_ == 1 && repeats_ > 1)
    return with_word(size, [&]<typename T>(T) {
      const auto run = repeats_ == 2 ? repeat<T, 2> : repeats_ == 4 ? repeat<T, 4> : repeat<T>;
      run(reinterpret_cast<const T*>(from), shape_[last_] / repeats_, repeats_, reinterpret_cast<T*>(to));
    });
  if (block_ == 1 && runs_.size() * kShort > table.size()) {  // runs too short for calls
    with_word(size, [&]<typename T>(T word) {
      std::memcpy(&word, fill, sizeof(T));
      const auto* x = reinterpret_cast<const T*>(from);
      auto* y = reinterpret_cast<T*>(to);
      for (size_t i = 0; i < table.size(); ++i) y[i] = table[i] < 0 ? word : x[table[i]];
    });
    return;
  }
  const auto unit = static_cast<size_t>(block_) * size;
  for (const Run& run : runs_) {
    if (run.from < 0)
      fill_elements(to + static_cast<size_t>(run.to) * unit, fill, size, run.count * block_);
    else
      std::memcpy(to + static_cast<size_t>(run.to) * unit, from + static_cast<size_t>(run.from) * unit,
                  static_cast<size_t>(run.count) * unit);
  }
}

void CopyByTable::run(ThreadPool& pool, const uint8_t* x, uint8_t* y, size_t size, const void* fill) const {
  const int64_t n = elements(shape_);
  if (n == 0) return;
  if (runs_.empty()) return copy_rows(pool, x, 0, y, 0, n * static_cast<int64_t>(size), 1);
  const int64_t length = shape_[last_] * block_, bytes = length * static_cast<int64_t>(size);
  pool.parallel(n / length, copy_grain(bytes), [&](int64_t begin, int64_t end, int) {
    int64_t before = -2;  // where the row before begins in the input, -1 where it is filled in
    for (int64_t r = begin; r < end; ++r) {
      int64_t at = 0, rest = r;
      for (size_t d = last_; d-- > 0;) {
        const int64_t i = rest % shape_[d], p = tables_[d].empty() ? i : tables_[d][static_cast<size_t>(i)];
        rest /= shape_[d];
        at = p < 0 || at < 0 ? -1 : at + p * strides_[d];
      }
      uint8_t* to = y + r * bytes;
      if (at == before)
        std::memcpy(to, to - bytes, static_cast<size_t>(bytes));
      else if (at < 0)
        fill_elements(to, fill, size, length);
      else
        row(x + at * static_cast<int64_t>(size), to, size, fill);
      before = at;
    }
  });
}

}  // namespace qgraph::cpu
