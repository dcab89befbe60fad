// Interpolation along two axes: every row of the output is a weighted sum of a few rows of the input, whose elements are such
// sums themselves. Sums are added in the order of their taps, one float32 operation each.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "support/thread_pool.h"

namespace qgraph::cpu {

/// What each output of an axis takes: taps start[o] to start[o + 1].
struct Taps {
  std::vector<int64_t> start{0}, index;
  std::vector<float> weight;

  size_t count() const { return start.size() - 1; }
  void add(int64_t i, float w) {
    index.push_back(i);
    weight.push_back(w);
  }
  /// The two neighbours of the place s on [0, last].
  void add_linear(float s, int64_t last) {
    s = std::min(std::max(s, 0.0f), static_cast<float>(last));
    const auto low = static_cast<int64_t>(s);
    const float f = s - static_cast<float>(low);
    add(low, 1 - f);
    add(std::min(low + 1, last), f);
  }
  void finish() { start.push_back(static_cast<int64_t>(index.size())); }
};

/// y[i] = the sum of weights times sources, for n elements from `from`; `at` gives the source of a tap.
template <typename At>
void weighted_sum(const Taps& taps, size_t o, int64_t n, float* y, At&& at) {
  const int64_t first = taps.start[o], last = taps.start[o + 1];
  const float* w = taps.weight.data();
  if (last - first == 2) {
    const float *a = at(taps.index[static_cast<size_t>(first)]), *b = at(taps.index[static_cast<size_t>(first) + 1]);
    const float u = w[first], v = w[first + 1];
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] * u + b[i] * v;
    return;
  }
  constexpr int64_t kChunk = 1024;  // of y, which stays in the cache
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    if (first == last) std::fill(y + begin, y + end, 0.0f);
    for (int64_t t = first; t < last; ++t) {
      const float* x = at(taps.index[static_cast<size_t>(t)]);
      const float u = w[t];
      if (t == first)
        for (int64_t i = begin; i < end; ++i) y[i] = x[i] * u;
      else
        for (int64_t i = begin; i < end; ++i) y[i] = y[i] + x[i] * u;
    }
  }
}

/// The axes of an interpolation: [outer, rows, middle, columns, inner], of which rows, columns or both change.
class Resample {
 public:
  int64_t outer = 1, in_rows = 1, out_rows = 1, middle = 1, in_columns = 1, out_columns = 1, inner = 1;
  const Taps *rows = nullptr, *columns = nullptr;  // null: that axis stays as it is

  int64_t in_length() const { return middle * in_columns * inner; }
  int64_t out_length() const { return middle * out_columns * inner; }

  /// Plan for tables and lengths; returns the bytes of scratch that each thread needs.
  size_t plan() {
    constexpr int64_t kBytes = 1 << 18;  // rows that are worth keeping in the cache
    for (block_ = 32; block_ > 1; block_ /= 2) {
      span_ = widest();
      if (span_ * out_length() * static_cast<int64_t>(sizeof(float)) <= kBytes) break;
    }
    span_ = widest();
    pairs_ = columns != nullptr;
    for (size_t j = 0; pairs_ && j < columns->count(); ++j) pairs_ = columns->start[j + 1] == 2 * static_cast<int64_t>(j + 1);
    const int64_t floats = (columns != nullptr || !direct ? span_ * out_length() : 0) + in_length() + out_length();
    const size_t bytes = static_cast<size_t>(floats) * sizeof(float) + static_cast<size_t>(span_) * sizeof(const float*);
    return (bytes + 63) / 64 * 64;
  }
  bool direct = true;  // whether rows of the input can be read in place

  /// load(row, buffer) returns a row of the input, in place or in the buffer; target(row, buffer) where a row of the output goes;
  /// finish(row, y) is called when it is there.
  template <typename Load, typename Target, typename Finish>
  void run(ThreadPool& pool, uint8_t* scratch, size_t scratch_bytes, Load&& load, Target&& target, Finish&& finish) const {
    const int64_t blocks = (out_rows + block_ - 1) / block_,
                  grain = std::max<int64_t>(1, (1 << 13) / (std::min(block_, out_rows) * out_length()));
    pool.parallel(outer * blocks, grain, [&](int64_t begin, int64_t end, int worker) {
      auto** row_at = reinterpret_cast<const float**>(scratch + static_cast<size_t>(worker) * scratch_bytes);
      auto* loaded = reinterpret_cast<float*>(row_at + span_);
      float *made = loaded + in_length(), *kept = made + out_length();
      for (int64_t task = begin; task < end; ++task) {
        const int64_t o = task / blocks, first = task % blocks * block_, last = std::min(out_rows, first + block_);
        if (rows == nullptr) {
          for (int64_t r = first; r < last; ++r) {
            float* y = target(o * out_rows + r, made);
            along_columns(load(o * in_rows + r, loaded), y);
            finish(o * out_rows + r, y);
          }
          continue;
        }
        const auto [low, high] = span(first, last);
        std::fill(row_at, row_at + (high - low), nullptr);
        for (int64_t t = rows->start[static_cast<size_t>(first)]; t < rows->start[static_cast<size_t>(last)]; ++t) {
          const int64_t row = rows->index[static_cast<size_t>(t)];
          const float*& at = row_at[row - low];
          if (at != nullptr) continue;
          float* place = kept + (row - low) * out_length();
          if (columns == nullptr) {
            at = load(o * in_rows + row, direct ? loaded : place);
          } else {
            along_columns(load(o * in_rows + row, loaded), place);
            at = place;
          }
        }
        for (int64_t r = first; r < last; ++r) {
          float* y = target(o * out_rows + r, made);
          weighted_sum(*rows, static_cast<size_t>(r), out_length(), y, [&](int64_t row) { return row_at[row - low]; });
          finish(o * out_rows + r, y);
        }
      }
    });
  }

 private:
  /// The input rows that outputs [first, last) read.
  std::pair<int64_t, int64_t> span(int64_t first, int64_t last) const {
    const auto begin = rows->index.begin() + rows->start[static_cast<size_t>(first)],
               end = rows->index.begin() + rows->start[static_cast<size_t>(last)];
    if (begin == end) return {0, 0};
    const auto [low, high] = std::minmax_element(begin, end);
    return {*low, *high + 1};
  }

  int64_t widest() const {
    int64_t most = 0;
    for (int64_t r = 0; rows != nullptr && r < out_rows; r += block_) {
      const auto [low, high] = span(r, std::min(out_rows, r + block_));
      most = std::max(most, high - low);
    }
    return most;
  }

  void along_columns(const float* x, float* y) const {
    for (int64_t m = 0; m < middle; ++m, x += in_columns * inner, y += out_columns * inner) {
      if (inner != 1) {
        for (int64_t j = 0; j < out_columns; ++j)
          weighted_sum(*columns, static_cast<size_t>(j), inner, y + j * inner, [&](int64_t i) { return x + i * inner; });
        continue;
      }
      const float* w = columns->weight.data();
      const int64_t *index = columns->index.data(), *start = columns->start.data();
      if (pairs_) {
        for (int64_t j = 0; j < out_columns; ++j) y[j] = x[index[2 * j]] * w[2 * j] + x[index[2 * j + 1]] * w[2 * j + 1];
        continue;
      }
      for (int64_t j = 0; j < out_columns; ++j) {
        float sum = start[j] < start[j + 1] ? x[index[start[j]]] * w[start[j]] : 0.0f;
        for (int64_t t = start[j] + 1; t < start[j + 1]; ++t) sum = sum + x[index[t]] * w[t];
        y[j] = sum;
      }
    }
  }

  int64_t block_ = 1, span_ = 0;  // rows of the output at a time, and the most input rows of them
  bool pairs_ = false;            // whether each column takes two elements
};

}  // namespace qgraph::cpu
