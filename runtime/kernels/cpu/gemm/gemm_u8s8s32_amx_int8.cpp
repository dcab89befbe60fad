// 32 rows x 2 panels: four tiles of sums, two of activations, two of weights (a panel's 16 words are a tile as they lie).
// A tile's shape is fixed for the whole product: its depth is 64, or what divides a depth that 64 does not; where nothing
// near 64 does, the product ends in zero-padded copies.
#include <algorithm>

#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/gemm/tiles.h"

#ifndef QGRAPH_AMX_NAMESPACE
#define QGRAPH_AMX_NAMESPACE amx_int8
#endif

namespace qgraph::QGRAPH_AMX_NAMESPACE {
namespace {

constexpr int64_t kTile = 16;  // rows of a tile
constexpr int64_t kTileDepth = 64;
constexpr int64_t kFewRows = 8;   // rows below which vector instructions read the weights as fast
constexpr int64_t kShallow = 16;  // depth up to which making bytes in registers saves more than tiles do
constexpr int64_t kChunk = 256;   // depth of expanded weights

// Tiles 0-3 sums, 4-5 activations, 6-7 weights; the second block of rows may be shorter, or absent.
void configure(int64_t upper, int64_t lower, int64_t depth) {
  TileConfig config;
  for (int t = 0; t < 8; ++t) {
    const bool is_lower = t == 2 || t == 3 || t == 5, is_activation = t == 4 || t == 5;
    config.row_bytes[t] = static_cast<uint16_t>(is_activation ? depth : 64);
    config.rows[t] = static_cast<uint8_t>(t >= 6 ? depth / kDepth : is_lower ? std::max<int64_t>(lower, 1) : upper);
  }
  _tile_loadconfig(&config);
}

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

// sums += rows times `depth` of one or two panels; depth is a multiple of the tiles' `step`. Fetches a panel from `ahead`.
template <bool Lower, bool Second>
void multiply(const Block& rows, const int8_t* b, int64_t panel, int64_t depth, int64_t step, const int8_t* ahead) {
  const uint8_t* below = rows.a + kTile * rows.lda;
  for (int64_t k = 0; k < depth; k += step) {
    for (int64_t line = 0; line < step / kDepth; ++line) __builtin_prefetch(ahead + k * kPanel + line * 64, 0, 2);
    _tile_loadd(4, rows.a + k, rows.lda);
    _tile_loadd(6, b + k * kPanel, 64);
    _tile_dpbusd(0, 4, 6);
    if constexpr (Lower) {
      _tile_loadd(5, below + k, rows.lda);
      _tile_dpbusd(2, 5, 6);
    }
    if constexpr (Second) {
      _tile_loadd(7, b + panel + k * kPanel, 64);
      _tile_dpbusd(1, 4, 7);
      if constexpr (Lower) _tile_dpbusd(3, 5, 7);
    }
  }
}

void put(const int32_t* from, int32_t* to, int64_t ldc, int64_t rows, int64_t columns) {
  for (int64_t r = 0; r < rows; ++r) std::memcpy(to + r * ldc, from + r * kPanel, static_cast<size_t>(columns) * 4);
}

// One or two panels for up to 32 rows. `tail` holds the rows' last depth % 64 columns, zero padded.
template <bool Lower, bool Second>
void block(const Block& rows, const uint8_t* tail, const int8_t* b, int64_t panel, int64_t k, int64_t step, const int8_t* ahead,
           int32_t* acc, int64_t ldc, int64_t columns, bool first) {
  alignas(64) int32_t part[kTile * kPanel];
  const int64_t full = k / step * step;
  const auto begin = [&](auto load, auto zero, int32_t* from, int64_t n, int64_t height) {
    if (first) return zero();
    if (n >= kPanel) return load(from, ldc * 4);
    for (int64_t r = 0; r < height; ++r) std::memcpy(part + r * kPanel, from + r * ldc, static_cast<size_t>(n) * 4);
    load(part, 64);
  };
  const auto end = [&](auto store, int32_t* to, int64_t n, int64_t height) {
    if (n >= kPanel) return store(to, ldc * 4);
    store(part, 64);
    put(part, to, ldc, height, n);
  };
  int32_t* low = acc + kTile * ldc;
  begin([](auto* p, int64_t s) { _tile_loadd(0, p, s); }, [] { _tile_zero(0); }, acc, columns, rows.upper);
  if constexpr (Second)
    begin([](auto* p, int64_t s) { _tile_loadd(1, p, s); }, [] { _tile_zero(1); }, acc + kPanel, columns - kPanel, rows.upper);
  if constexpr (Lower) begin([](auto* p, int64_t s) { _tile_loadd(2, p, s); }, [] { _tile_zero(2); }, low, columns, rows.lower);
  if constexpr (Lower && Second)
    begin([](auto* p, int64_t s) { _tile_loadd(3, p, s); }, [] { _tile_zero(3); }, low + kPanel, columns - kPanel, rows.lower);
  multiply<Lower, Second>(rows, b, panel, full, step, ahead);
  if (full < k) {
    alignas(64) int8_t weights[2 * kTileDepth * kPanel] = {};
    const auto bytes = static_cast<size_t>(round_up(k - full, kDepth) * kPanel);
    std::memcpy(weights, b + full * kPanel, bytes);
    if (Second) std::memcpy(weights + kTileDepth * kPanel, b + panel + full * kPanel, bytes);
    multiply<Lower, Second>({tail, kTileDepth, rows.upper, rows.lower}, weights, kTileDepth * kPanel, kTileDepth, kTileDepth,
                            weights);
  }
  end([](void* p, int64_t s) { _tile_stored(0, p, s); }, acc, columns, rows.upper);
  if constexpr (Second) end([](void* p, int64_t s) { _tile_stored(1, p, s); }, acc + kPanel, columns - kPanel, rows.upper);
  if constexpr (Lower) end([](void* p, int64_t s) { _tile_stored(2, p, s); }, low, columns, rows.lower);
  if constexpr (Lower && Second)
    end([](void* p, int64_t s) { _tile_stored(3, p, s); }, low + kPanel, columns - kPanel, rows.lower);
}

// Panels of 8 bits, `panel` bytes apart.
void product(const uint8_t* a, int64_t lda, int64_t count, const int8_t* b, int64_t panel, int64_t k, int32_t* acc, int64_t ldc,
             int64_t columns, bool first) {
  alignas(64) uint8_t tail[2 * kTile * kTileDepth];
  const int64_t step = tile_depth(k), full = k / step * step;
  int64_t shape = 0;
  for (int64_t r = 0; r < count; r += 2 * kTile) {
    const int64_t upper = std::min(kTile, count - r), lower = std::min(kTile, count - r - upper);
    const Block rows{a + r * lda, lda, upper, lower};
    if (shape != upper * 32 + lower) configure(upper, lower, step);
    shape = upper * 32 + lower;
    if (full < k) {
      std::memset(tail, 0, sizeof(tail));
      for (int64_t i = 0; i < upper + lower; ++i)
        std::memcpy(tail + i * kTileDepth, rows.a + i * lda + full, static_cast<size_t>(k - full));
    }
    for (int64_t c = 0; c < columns; c += 2 * kPanel) {
      const bool second = columns - c > kPanel;
      const auto run =
          lower > 0 ? (second ? block<true, true> : block<true, false>) : (second ? block<false, true> : block<false, false>);
      const int8_t* weights = b + c / kPanel * panel;
      run(rows, tail, weights, panel, k, step, weights + (2 + r / (2 * kTile) % 2) * panel, acc + r * ldc + c, ldc, columns - c,
          first);
    }
  }
}

}  // namespace

void gemm(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
          int64_t ldc) {
  if (rows < kFewRows) return avx512_vnni::gemm(a, lda, rows, w, column, columns, acc, ldc);
  const int64_t panel = panel_bytes(w.k, w.bits);
  const int8_t* b = w.data + column / kPanel * panel;
  const bool sparse = w.form != SparseForm::Dense;
  if (w.bits == 8 && !sparse) {
    product(a, lda, rows, b, panel, w.k, acc, ldc, columns, true);
  } else {
    alignas(64) int8_t expanded[4 * kChunk * kPanel];
    for (int64_t c = 0; c < columns; c += 4 * kPanel) {
      const int64_t some = std::min<int64_t>(4 * kPanel, columns - c);
      for (int64_t d = 0; d < w.k; d += kChunk) {
        const int64_t depth = std::min(kChunk, w.k - d), words = round_up(depth, kDepth) / kDepth;
        const int panels = static_cast<int>(round_up(some, kPanel) / kPanel);
        if (sparse)
          avx512_vnni::expand_sparse(w, column + c, panels, d, depth, expanded, kChunk * kPanel);
        else
          avx512_vnni::expand_panels(b + c / kPanel * panel + d / 8 * w.bits * kPanel, panel, panels, words, w.bits, w.levels,
                                     expanded, kChunk * kPanel);
        product(a + d, lda, rows, expanded, kChunk * kPanel, depth, acc + c, ldc, some, d == 0);
      }
    }
  }
  _tile_release();
}

bool fused(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
           int64_t row_stride, const void* residual) {
  if (rows >= kFewRows && w.k > kShallow) return false;
  return avx512_vnni::fused(a, rows, w, column, columns, e, y, row_stride, residual);
}

}  // namespace qgraph::QGRAPH_AMX_NAMESPACE
