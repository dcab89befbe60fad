// What an instruction set provides: one table of functions, filled in one place a variant.
//
// Every function here has one meaning on every instruction set, byte for byte. 8-bit activations are uint8 (signed ones
// are stored with 128 added), 16-bit ones int16. Float steps are single IEEE operations in the written order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/isa/float32.h"
#include "ops/codes.h"
#include "ops/dialect_generated.h"

namespace qgraph {

/// Columns of a packed weight panel, and the depth that one packed word holds.
constexpr int kPanel = 16;
constexpr int kDepth = 4;

/// The most rows and columns that `product` takes at a time where it needs accumulators.
constexpr int64_t kTileRows = 64, kTileColumns = 64;

/// Rows that attention takes at a time.
constexpr int64_t kAttentionRows = 48;

// The forms of SparseForm, as they are packed; a word is 16 columns of 4 neighbours along the depth.
//   TwoOfFour  two of every four neighbours: for 32 of depth 64 bytes of places, then 4 words of kept codes. Word s holds
//              the codes kept of the depths 8 s to 8 s + 7; byte j of its place is at bit 2 s of byte j of the column's places.
//   Words      words of zeros are left out.

/// Weights packed for the matrix kernels: [panel][K / 4][16 columns][4], zero padded, and the sum of each column. With fewer
/// bits, 8 / bits neighbours along K / 4 share their bytes, the first in the lowest bits, and `levels` says what they stand for.
struct PackedWeights {
  const int8_t* data = nullptr;
  const int32_t* column_sums = nullptr;
  int64_t n = 0;
  int64_t k = 0;
  int bits = 8;
  Levels levels = kSigned.four;
  SparseForm form = SparseForm::Dense;
  const int64_t* starts = nullptr;  // Words: panel p holds words [starts[p], starts[p + 1])
  const int32_t* depths = nullptr;  // Words: the depth of each word
};

inline int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
/// Bytes of a panel: 64 for each 4 * 8 / bits of depth.
inline int64_t panel_bytes(int64_t k, int bits) { return round_up(k, kDepth * 8 / bits) * bits / 8 * kPanel; }
inline int64_t packed_bytes(int64_t n, int64_t k, int bits = 8) { return round_up(n, kPanel) / kPanel * panel_bytes(k, bits); }

/// Depthwise weights are int16: [32 channels][pair of taps][32 places][2 taps], zero padded. The places of the channels are
/// those that interleaving 16-bit words in lanes of 128 bits gives: 0-3, 8-11, 16-19, 24-27, then 4-7, 12-15, 20-23, 28-31.
constexpr int kGroup = 32;
inline int64_t depthwise_elements(int64_t channels, int64_t taps) { return round_up(channels, kGroup) * round_up(taps, 2); }
inline int64_t depthwise_index(int64_t channel, int64_t tap, int64_t taps) {
  const int64_t c = channel % kGroup, place = c % 8 / 4 * 16 + c / 8 * 4 + c % 4;
  return (channel / kGroup * (round_up(taps, 2) / 2) + tap / 2) * kGroup * 2 + place * 2 + tap % 2;
}

/// In the vnni4 layout they are int8: [64 channels][four taps][4 words][16 channels][4 taps], zero padded; word j has the
/// channels 4 j to 4 j + 3 of each sixteen.
constexpr int64_t kVnni4Channels = 64;
inline int64_t vnni4_elements(int64_t channels, int64_t taps) { return round_up(channels, kVnni4Channels) * round_up(taps, 4); }
inline int64_t vnni4_index(int64_t channel, int64_t tap, int64_t taps) {
  const int64_t c = channel % kVnni4Channels,
                word = (channel / kVnni4Channels * (round_up(taps, 4) / 4) + tap / 4) * 4 + c % 16 / 4;
  return word * 64 + c / 16 * 16 + c % 4 * 4 + tap % 4;
}

/// How an int32 accumulator becomes an output element:
///   static    t = float(acc + bias) * multiplier[c]
///   per token t = (float(acc + bias) * row_scale[r]) * multiplier[c] + bias_f[c]
///   intermediate code
///             t = rne(clamp(t, intermediate_low, intermediate_high)) * intermediate_multiplier
///   residual  t = t + float(res - residual_zero) * residual_multiplier
///   y = clamp(rne(t), low, high) + zero     (low and high already without the zero point)   or   y = t (float32)
struct Epilogue {
  const float* multiplier = nullptr;  // per column, or one value when multiplier_stride is 0
  int multiplier_stride = 1;
  const int32_t* bias = nullptr;
  const float* bias_f = nullptr;
  const float* row_scale = nullptr;
  const void* residual = nullptr;  // same layout as the output
  DType residual_type = DType::I16;
  int32_t residual_zero = 0;
  float residual_multiplier = 0;
  bool intermediate = false;  // whether t becomes a code before the residual is added
  float intermediate_low = 0, intermediate_high = 0, intermediate_multiplier = 0;
  DType type = DType::U8;
  float low = 0, high = 255;
  int32_t zero = 0;
  bool bounded = false;  // of a static one: no sum reaches 2^31, t neither (see is_bounded); bounds may be put on integers
};

/// The same from another row and column on.
inline Epilogue part_of(Epilogue e, int64_t row, int64_t column) {
  e.multiplier += column * e.multiplier_stride;
  if (e.bias != nullptr) e.bias += column;
  if (e.bias_f != nullptr) e.bias_f += column;
  if (e.row_scale != nullptr) e.row_scale += row;
  return e;
}

/// Element `at` of what it adds, if it adds something.
inline const void* residual_at(const Epilogue& e, const void* residual, int64_t at) {
  return residual == nullptr ? nullptr
                             : static_cast<const uint8_t*>(residual) + static_cast<size_t>(at) * byte_size(e.residual_type);
}

/// A function of int16 codes x: in each of 32 segments of 2^shift codes, the first from `start`, a polynomial of degree 4.
///   i = clamp((x - start) >> shift, 0, 31), d = float(x - start - i * 2^shift - 2^shift / 2)    (the outer segments have no end)
///   t = (((c[4][i] * d + c[3][i]) * d + c[2][i]) * d + c[1][i]) * d + c[0][i]
struct Curve {
  static constexpr int kSegments = 32, kTerms = 5;
  const float* c = nullptr;  // [kTerms][kSegments]
  int32_t start = 0;
  int shift = 0;
};

/// Rows of bytes: row r begins at a + r * lda; or, where `at` is given, it is strided: segments of `length` bytes, a multiple of
/// 4, the first at at[r], each `step` bytes after the one before.
struct Rows {
  const uint8_t* a = nullptr;
  int64_t lda = 0;
  const uint8_t* const* at = nullptr;
  int64_t length = 0, step = 0;

  int64_t segments(int64_t k) const { return at == nullptr ? 1 : k / length; }
  const uint8_t* row(int64_t r) const { return at == nullptr ? a + r * lda : at[r]; }
};

/// The left operand of a float32 product: element (r, k) is at data[r * row + k * step], one of the strides 1.
struct FloatRows {
  const float* data = nullptr;
  int64_t row = 0, step = 1;
};

/// The right operand, in panels of kPanel columns: element (k, c) is at data[c / kPanel * panel + k * step + c % kPanel]. Whole
/// panels are read, also the last one.
struct FloatPanels {
  const float* data = nullptr;
  int64_t panel = 0, step = kPanel;
};

/// Floats of the panels of a k x n matrix, and from one panel to the next.
inline int64_t panel_floats(int64_t k) { return k * kPanel; }
inline int64_t packed_floats(int64_t n, int64_t k) { return round_up(n, kPanel) / kPanel * panel_floats(k); }

/// What becomes of the sum t of a float32 product, one IEEE operation each:
///   t = t * alpha;  t = t + row_bias[r];  t = t + column_bias[c];  t = t + residual[r * residual_row + c] * beta
///   y = low > t ? low : t;  y = high < y ? high : y      (NaN stays)
/// Parts that are left out (null, or alpha 1, or no bounds) do nothing.
struct FloatEpilogue {
  float alpha = 1, beta = 1;
  const float* row_bias = nullptr;
  const float* column_bias = nullptr;
  const float* residual = nullptr;
  int64_t residual_row = 0;
  bool clamped = false;
  float low = 0, high = 0;
};

/// The same from another row and column on.
inline FloatEpilogue part_of(FloatEpilogue e, int64_t row, int64_t column) {
  if (e.row_bias != nullptr) e.row_bias += row;
  if (e.column_bias != nullptr) e.column_bias += column;
  if (e.residual != nullptr) e.residual += row * e.residual_row + column;
  return e;
}

/// What depthwise_f32 may read beyond its taps.
constexpr int64_t kTapsBeyond = 128;

/// Lanes of a panel's row: the lanes [lane, lane + count) are x[at], x[at + stride], ...
struct PanelSegment {
  int32_t lane = 0, count = 0;
  int64_t at = 0;
};

/// What Kernels::fused takes on, where it is there for such weights and epilogues at all.
inline bool can_fuse(const PackedWeights& w, const Epilogue& e, bool residual) {
  return w.form == SparseForm::Dense && w.bits == 8 && e.type == DType::U8 && e.multiplier_stride == 1 &&
         e.row_scale == nullptr && e.bias_f == nullptr && e.bounded &&
         (!residual || (e.intermediate && e.residual_type == DType::U8));
}

struct Kernels {
  const char* isa;

  /// Rows that gemm takes at a time.
  int64_t row_step = 1;

  /// Whether fused takes whatever can_fuse says, and strided rows.
  bool strided_rows = false;

  /// Whether gemm reads sparse forms; without it weights are packed dense.
  bool sparse = false;

  /// Whether depthwise takes its weights in the vnni4 layout.
  bool vnni4_layout = false;

  /// Whether curve is quicker than a table of it.
  bool curves = false;

  /// Pack n columns of k int8 values; element (column, depth) is at w[column * column_stride + depth * depth_stride], with its
  /// sign bit turned where `flip` says so (which takes 128 from a uint8). `packed` has packed_bytes(n, k), `sums`
  /// round_up(n, 16) elements.
  void (*pack)(const uint8_t* w, int64_t n, int64_t k, int64_t column_stride, int64_t depth_stride, bool flip, int8_t* packed,
               int32_t* sums);

  /// acc[r * ldc + c] = sum_k a[r * lda + k] * w[k, c] over the columns [column, column + columns); column % 16 == 0.
  void (*gemm)(const uint8_t* a, int64_t lda, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, int32_t* acc,
               int64_t ldc);

  /// acc[p * channels + c] = sum_t taps[t][p * step + c] * w[c, t] for `pixels` pixels. `taps` has an even number of pointers to
  /// the first pixel's bytes; what those at `count` and beyond point to is read and counts nothing. With `column_reuse`, which
  /// needs the vnni4 layout, the taps are three columns of three and one without weight, and column j of a pixel is column
  /// j + column_reuse of the one before it.
  void (*depthwise)(const uint8_t* const* taps, int64_t count, const void* w, int64_t channels, int64_t pixels, int64_t step,
                    int column_reuse, int32_t* acc);

  /// Subtract zero_a * column_sums (and zero_b * row sums - k * zero_a * zero_b where row_sums is given).
  void (*correct)(int32_t* acc, int64_t ldc, int64_t rows, int64_t columns, const int32_t* column_sums, int32_t zero_a,
                  const int32_t* row_sums, int32_t zero_b, int64_t k);

  /// Turn rows x columns accumulators into outputs; y's element (r, c) is at y + r * row_stride + c (in elements).
  /// Row r reads row_scale[r]; column c reads multiplier[c], bias[c].
  void (*finish)(const Epilogue& e, const int32_t* acc, int64_t ldc, int64_t rows, int64_t columns, void* y, int64_t row_stride,
                 const void* residual);

  /// gemm and finish in one, where there is such a kernel for these weights and this epilogue; else it does nothing and returns
  /// false. e, y and residual begin at the first of the columns.
  bool (*fused)(const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns, const Epilogue& e, void* y,
                int64_t row_stride, const void* residual);

  /// depthwise and a static, bounded epilogue to bytes in one: y[p * channels + c]; it has a bias. Null where there is none.
  void (*fused_depthwise)(const uint8_t* const* taps, int64_t count, const void* w, int64_t channels, int64_t pixels,
                          int64_t step, int column_reuse, const Epilogue& e, uint8_t* y);

  /// One row: v = (float(x - zero) * scale) * channel[i] (channel may be null); codes = rne(v * (127 / max|v|)) + 128.
  /// Returns max|v| / 127.
  float (*quantize_tokens)(const void* x, DType type, int32_t zero, float scale, const float* channel, int64_t n, uint8_t* codes,
                           float* scratch);

  /// One row of softmax over scores t[i]: e = rne(2^20 * exp(t - max)); p = rne(e * (qmax / sum)), clamped to the type.
  /// Writes uint8 when `codes` is given, else float32 e / sum to `probabilities`. A row of -inf gives zeros.
  void (*softmax)(float* t, int64_t n, float qmax, uint8_t* codes, int16_t* words, float* probabilities);

  /// Rows of attention scores, in place (acc holds floats afterwards): t[r, i] = float(acc[r * ldc + i] + bias[i] + shift[r]) *
  /// scale (+ mask[r * mask_row + i * mask_stride] where mask is given, whose stride is 0 or 1), then codes[r * n + i] =
  /// softmax(t[r]) with qmax 255; sums[r] is the sum of a row's codes.
  void (*attention_rows)(int32_t* acc, int64_t ldc, const int32_t* bias, const int32_t* shift, int64_t rows, int64_t n,
                         float scale, const float* mask, int64_t mask_row, int64_t mask_stride, uint8_t* codes, int32_t* sums);

  /// The sum of n codes.
  int32_t (*sum)(const uint8_t* x, int64_t n);

  /// One row: mean and variance from integer sums, y = ((x - mean) * inv) * gamma + beta, quantized like Epilogue.
  void (*layer_norm)(const void* x, DType type, int64_t n, float epsilon, const float* gamma, const float* beta,
                     const Epilogue& e, void* y);

  /// y = (float(a - za) * ma) op (float(b - zb) * mb); for Mul and Div the operands come first: t = (fa op fb) * ma. b_stride 0
  /// broadcasts one element, same for a.
  void (*binary)(dialect::BinaryOp op, const void* a, DType a_type, int32_t za, float ma, int64_t a_stride, const void* b,
                 DType b_type, int32_t zb, float mb, int64_t b_stride, int64_t n, const Epilogue& e, void* y);

  /// y[i] = quantize(float(x[i] - zero) * multiplier[i * stride]).
  void (*requantize)(const void* x, DType type, int32_t zero, const float* multiplier, int64_t stride, int64_t n,
                     const Epilogue& e, void* y);

  /// y[i] = quantize(x[i] / scale).
  void (*quantize)(const float* x, float scale, int64_t n, const Epilogue& e, void* y);

  /// y[i] = float(x[i] - zero) * scale.
  void (*dequantize)(const void* x, DType type, int32_t zero, float scale, int64_t n, float* y);

  /// y[i] = table[x[i]]; `size` is the bytes of a table entry. int16 input adds 32768 to its index.
  void (*lookup)(const void* x, DType type, const void* table, int size, int64_t n, void* y);

  /// y[i] = quantize(the curve at x[i]).
  void (*curve)(const int16_t* x, const Curve& curve, int64_t n, const Epilogue& e, void* y);

  /// Rows and panels that gemm_f32 takes at a time.
  int64_t rows_f32 = 1, panels_f32 = 1;

  /// A float32 product, rows x columns: acc = 0 (`first`) or y[r * ldy + c]; for k in order acc = fma(a[r, k], b[k, c], acc);
  /// y[r * ldy + c] = acc, or where `e` is given what it makes of acc. So one product may be computed in parts along k.
  void (*gemm_f32)(const FloatRows& a, int64_t rows, const FloatPanels& b, int64_t columns, int64_t k, bool first,
                   const FloatEpilogue* e, float* y, int64_t ldy);

  /// The same row of a panel for `channels` channels: y[i * y_step + lane] for all lanes, 0 where no segment has them; the
  /// segments' x begins at x + i * x_step.
  void (*gather_f32)(const float* x, int64_t x_step, int64_t channels, const PanelSegment* segments, int64_t count,
                     int64_t stride, float* y, int64_t y_step);

  /// y[i] for i < n: acc = 0; for t in order acc = fma(w[t], taps[t][i], acc); then `e` as for row 0. Taps may be read up to
  /// kTapsBeyond floats beyond n.
  void (*depthwise_f32)(const float* const* taps, const float* w, int64_t count, int64_t n, const FloatEpilogue& e, float* y);
  /// Functions on float32 arrays.
  const Float32Kernels* float32;
};

/// gemm and finish; `acc` is scratch of kTileRows x kTileColumns. Strided rows must be what the kernels can fuse.
inline void product(const Kernels& kernels, const Rows& a, int64_t rows, const PackedWeights& w, int64_t column, int64_t columns,
                    const Epilogue& e, void* y, int64_t row_stride, const void* residual, int32_t* acc) {
  if (kernels.fused(a, rows, w, column, columns, e, y, row_stride, residual)) return;
  for (int64_t c = 0; c < columns; c += kTileColumns)
    for (int64_t r = 0; r < rows; r += kTileRows) {
      const int64_t height = rows - r < kTileRows ? rows - r : kTileRows,
                    width = columns - c < kTileColumns ? columns - c : kTileColumns;
      const int64_t at = r * row_stride + c;
      kernels.gemm(a.a + r * a.lda, a.lda, height, w, column + c, width, acc, kTileColumns);
      kernels.finish(part_of(e, r, c), acc, kTileColumns, height, width,
                     static_cast<uint8_t*>(y) + static_cast<size_t>(at) * byte_size(e.type), row_stride,
                     residual_at(e, residual, at));
    }
}

namespace reference {
const Kernels& kernels();
}
namespace portable {
const Kernels& kernels();
}
namespace avx2 {
const Kernels& kernels();
}
namespace avx_vnni {
const Kernels& kernels();
}
namespace avx512_vnni {
const Kernels& kernels();
}
namespace amx_int8 {
const Kernels& kernels();
}

}  // namespace qgraph
