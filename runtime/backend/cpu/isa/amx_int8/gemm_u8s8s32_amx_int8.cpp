// 32 rows x 2 panels: four tiles of sums, two of activations, two of weights (a panel's 16 words are a tile as they lie). While
// tiles multiply, vector instructions finish the sums of the block before: the two work side by side, but what they do is too
// long for the processor to see that by itself.
// A tile's shape is fixed for the whole product: its depth is 64, or what divides a depth that 64 does not; where nothing
// near 64 does, the product ends in zero-padded copies.
#include <algorithm>

#include "backend/cpu/isa/amx_int8/tiles.h"
#include "backend/cpu/isa/gemm.h"

#ifndef QGRAPH_AMX_NAMESPACE
#define QGRAPH_AMX_NAMESPACE amx_int8
#endif

namespace qgraph::QGRAPH_AMX_NAMESPACE {
namespace {

constexpr int64_t kTile = 16;  // rows of a tile
constexpr int64_t kTileDepth = 64;
constexpr int64_t kWide = 4 * kPanel;  // columns that are finished together
constexpr int64_t kFewRows = 8;        // rows below which vector instructions read the weights as fast
constexpr int64_t kShallow = 16;       // depth up to which making bytes in registers saves more than tiles do
constexpr int64_t kChunk = 256;        // depth of expanded weights

// Tiles 0-3 sums, 4-5 activations, 6-7 weights; the second block of rows may be shorter. Setting the shapes takes as long as a
// few products, so they stay while they serve.
class Shapes {
 public:
  ~Shapes() { tiles::release(); }
  void need(int64_t upper, int64_t lower, int64_t depth) {
    if (upper == upper_ && depth == depth_ && (lower == 0 || lower == lower_)) return;
    upper_ = upper;
    lower_ = lower == 0 ? kTile : lower;
    depth_ = depth;
    TileConfig config;
    for (int t = 0; t < 8; ++t) {
      const bool is_lower = t == 2 || t == 3 || t == 5, is_activation = t == 4 || t == 5;
      config.row_bytes[t] = static_cast<uint16_t>(is_activation ? depth_ : 64);
      config.rows[t] = static_cast<uint8_t>(t >= 6 ? depth_ / kDepth : is_lower ? lower_ : upper_);
    }
    tiles::configure(config);
  }

 private:
  int64_t upper_ = 0, lower_ = 0, depth_ = 0;
};

// The depth of a tile for a product of depth k: at most a step more than with 64.
int64_t tile_depth(int64_t k) {
  const int64_t steps = (k + kTileDepth - 1) / kTileDepth;
  for (int64_t n = steps; n <= steps + 1; ++n)
    if (k % (n * kDepth) == 0) return k / n;
  return kTileDepth;
}

struct Block {
  const uint8_t* a;
  int64_t lda, upper, lower;
};

// What the vector units do while tiles multiply.
struct NoOverlap {
  void step() {}
};

// They turn the sums of the block before into outputs: a few rows a step.
class Finish {
 public:
  Finish(const Epilogue& e, uint8_t* y, int64_t row_stride, const void* residual)
      : finish_(avx512_vnni::kernels().finish), e_(e), y_(y), row_stride_(row_stride), residual_(residual) {}
  /// Spread what waits over so many steps.
  void spread(int64_t steps) { share_ = (left_ + steps - 1) / steps; }
  void step() { some(std::min(share_, left_)); }
  /// Do what is left, and wait with these sums of rows x columns from (row, column) on.
  void next(const int32_t* sums, int64_t row, int64_t rows, int64_t column, int64_t columns) {
    some(left_);
    sums_ = sums;
    row_ = row;
    left_ = rows;
    column_ = column;
    columns_ = columns;
  }
  void end() { some(left_); }

 private:
  void some(int64_t rows) {
    if (rows == 0) return;
    const int64_t at = row_ * row_stride_ + column_;
    finish_(part_of(e_, row_, column_), sums_, kWide, rows, columns_, y_ + at * byte_size(e_.type), row_stride_,
            residual_at(e_, residual_, at));
    sums_ += rows * kWide;
    row_ += rows;
    left_ -= rows;
  }

  decltype(Kernels::finish) finish_;
  const Epilogue& e_;
  uint8_t* y_;
  int64_t row_stride_;
  const void* residual_;
  const int32_t* sums_ = nullptr;
  int64_t row_ = 0, left_ = 0, column_ = 0, columns_ = 0, share_ = 0;
};

// sums += rows times `depth` of one or two panels; depth is a multiple of the tiles' `step`. Fetches a panel from `ahead`.
template <bool Lower, bool Second, typename Overlap>
void multiply(const Block& rows, const int8_t* b, int64_t panel, int64_t depth, int64_t step, const int8_t* ahead,
              Overlap& overlap) {
  const uint8_t* below = rows.a + kTile * rows.lda;
  for (int64_t k = 0; k < depth; k += step) {
    for (int64_t line = 0; line < step / kDepth; ++line) __builtin_prefetch(ahead + k * kPanel + line * 64, 0, 2);
    tiles::load<4>(rows.a + k, rows.lda);
    tiles::load<6>(b + k * kPanel, 64);
    tiles::dot<0, 4, 6>();
    if constexpr (Lower) {
      tiles::load<5>(below + k, rows.lda);
      tiles::dot<2, 5, 6>();
    }
    if constexpr (Second) {
      tiles::load<7>(b + panel + k * kPanel, 64);
      tiles::dot<1, 4, 7>();
      if constexpr (Lower) tiles::dot<3, 5, 7>();
    }
    overlap.step();
  }
}

// One or two panels for up to 32 rows. `tail` holds the rows' last depth % 64 columns, zero padded.
template <bool Lower, bool Second, typename Overlap>
void block(const Block& rows, const uint8_t* tail, const int8_t* b, int64_t panel, int64_t k, int64_t step, const int8_t* ahead,
           int32_t* acc, int64_t ldc, int64_t columns, bool first, Overlap& overlap) {
  alignas(64) int32_t part[kTile * kPanel];
  const int64_t full = k / step * step;
  // f(tile, its sums in memory, columns, rows) for every tile of sums
  const auto each = [&](auto&& f) {
    int32_t* low = acc + kTile * ldc;
    f(std::integral_constant<int, 0>(), acc, columns, rows.upper);
    if constexpr (Second) f(std::integral_constant<int, 1>(), acc + kPanel, columns - kPanel, rows.upper);
    if constexpr (Lower) f(std::integral_constant<int, 2>(), low, columns, rows.lower);
    if constexpr (Lower && Second) f(std::integral_constant<int, 3>(), low + kPanel, columns - kPanel, rows.lower);
  };
  each([&](auto tile, int32_t* from, int64_t n, int64_t height) {
    if (first) return tiles::zero<tile.value>();
    if (n >= kPanel) return tiles::load<tile.value>(from, ldc * 4);
    for (int64_t r = 0; r < height; ++r) std::memcpy(part + r * kPanel, from + r * ldc, static_cast<size_t>(n) * 4);
    tiles::load<tile.value>(part, 64);
  });
  multiply<Lower, Second>(rows, b, panel, full, step, ahead, overlap);
  if (full < k) {
    alignas(64) int8_t weights[2 * kTileDepth * kPanel] = {};
    const auto bytes = static_cast<size_t>(round_up(k - full, kDepth) * kPanel);
    std::memcpy(weights, b + full * kPanel, bytes);
    if (Second) std::memcpy(weights + kTileDepth * kPanel, b + panel + full * kPanel, bytes);
    multiply<Lower, Second>({tail, kTileDepth, rows.upper, rows.lower}, weights, kTileDepth * kPanel, kTileDepth, kTileDepth,
                            weights, overlap);
  }
  each([&](auto tile, int32_t* to, int64_t n, int64_t height) {
    if (n >= kPanel) return tiles::store<tile.value>(to, ldc * 4);
    tiles::store<tile.value>(part, 64);
    for (int64_t r = 0; r < height; ++r) std::memcpy(to + r * ldc, part + r * kPanel, static_cast<size_t>(n) * 4);
  });
}

// Up to 32 rows of panels of 8 bits, `panel` bytes apart.
template <typename Overlap>
void band(const Block& rows, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc, int64_t columns, bool first,
          int64_t turn, Shapes& shapes, Overlap& overlap) {
  const int64_t step = tile_depth(k), full = k / step * step;
  shapes.need(rows.upper, rows.lower, step);
  alignas(64) uint8_t tail[2 * kTile * kTileDepth];
  if (full < k) {
    std::memset(tail, 0, sizeof(tail));
    for (int64_t i = 0; i < rows.upper + rows.lower; ++i)
      std::memcpy(tail + i * kTileDepth, rows.a + i * rows.lda + full, static_cast<size_t>(k - full));
  }
  for (int64_t c = 0; c < columns; c += 2 * kPanel) {
    const bool second = columns - c > kPanel;
    const auto run = rows.lower > 0 ? (second ? block<true, true, Overlap> : block<true, false, Overlap>)
                                    : (second ? block<false, true, Overlap> : block<false, false, Overlap>);
    const int8_t* weights = b + c / kPanel * panel;
    run(rows, tail, weights, panel, k, step, weights + (2 + turn % 2) * panel, acc + c, ldc, columns - c, first, overlap);
  }
}

// f(first row, rows) for bands of up to 32 of them.
template <typename F>
void bands(const uint8_t* a, int64_t lda, int64_t rows, F&& f) {
  for (int64_t r = 0; r < rows; r += 2 * kTile) {
    const int64_t upper = std::min(kTile, rows - r);
    f(r, Block{a + r * lda, lda, upper, std::min(kTile, rows - r - upper)});
  }
}

void product(const uint8_t* a, int64_t lda, int64_t rows, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc,
             int64_t columns, bool first, Shapes& shapes) {
  NoOverlap none;
  bands(a, lda, rows, [&](int64_t r, const Block& some) {
    band(some, b, panel, k, acc + r * ldc, ldc, columns, first, r / (2 * kTile), shapes, none);
  });
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  if (rows < kFewRows) return avx512_vnni::gemm(a, lda, rows, w, column, columns, acc, ldc);
  const int64_t panel = panel_bytes(w.k, w.bits);
  const int8_t* b = w.data + column / kPanel * panel;
  const bool sparse = w.form != SparseForm::Dense;
  Shapes shapes;
  if (w.bits == 8 && !sparse) return product(a, lda, rows, b, panel, w.k, acc, ldc, columns, true, shapes);
  alignas(64) int8_t expanded[4 * kChunk * kPanel];
  for (int64_t c = 0; c < columns; c += kWide) {
    const int64_t some = std::min(kWide, columns - c);
    for (int64_t d = 0; d < w.k; d += kChunk) {
      const int64_t depth = std::min(kChunk, w.k - d), words = round_up(depth, kDepth) / kDepth;
      const int panels = static_cast<int>(round_up(some, kPanel) / kPanel);
      if (sparse)
        avx512_vnni::expand_sparse(w, column + c, panels, d, depth, expanded, kChunk * kPanel);
      else
        avx512_vnni::expand_panels(b + c / kPanel * panel + d / 8 * w.bits * kPanel, panel, panels, words, w.bits, w.levels,
                                   expanded, kChunk * kPanel);
      product(a + d, lda, rows, expanded, kChunk * kPanel, depth, acc + c, ldc, some, d == 0, shapes);
    }
  }
}

bool fused(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
           int64_t row_stride, const void* residual) {
  if (rows < kFewRows || w.k <= kShallow) return avx512_vnni::fused(a, rows, w, column, columns, e, y, row_stride, residual);
  if (w.bits != 8 || w.form != SparseForm::Dense) return false;
  alignas(64) int32_t sums[2][2 * kTile * kWide];
  const int64_t panel = panel_bytes(w.k, w.bits), depth = tile_depth(w.k), steps = (w.k + depth - 1) / depth;
  Finish finish(e, static_cast<uint8_t*>(y), row_stride, residual);
  Shapes shapes;
  int turn = 0;
  for (int64_t c = 0; c < columns; c += kWide) {
    const int64_t some = std::min(kWide, columns - c);
    bands(a.a, a.lda, rows, [&](int64_t r, const Block& part) {
      finish.spread(steps * ((some + 2 * kPanel - 1) / (2 * kPanel)));
      band(part, w.data + (column + c) / kPanel * panel, panel, w.k, sums[turn], kWide, some, true, r / (2 * kTile), shapes,
           finish);
      finish.next(sums[turn], r, part.upper + part.lower, c, some);
      turn = 1 - turn;
    });
  }
  finish.end();
  return true;
}

}  // namespace qgraph::QGRAPH_AMX_NAMESPACE
