// Every instruction set against a definition written here, and against the reference, byte for byte.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "backend/cpu/isa/select.h"
#include "backend/cpu/ops/weights.h"
#include "product_test.h"

namespace qgraph {
namespace {

class EveryIsa : public testing::TestWithParam<std::string> {
 protected:
  EveryIsa() : kernels(select_kernels(GetParam(), &chosen)), reference(reference::kernels()) {}
  std::string chosen;
  const Kernels& kernels;
  const Kernels& reference;
  std::mt19937 random{7};
};

TEST_P(EveryIsa, GemmEqualsTheSumOfProducts) { test_product(kernels.gemm, kernels, random); }

TEST_P(EveryIsa, SparseGemmEqualsTheSumOfProducts) {
  if (!kernels.sparse) GTEST_SKIP() << "packs dense";
  test_sparse_product(kernels.gemm, random);
}

TEST_P(EveryIsa, FinishRoundsHalfToEvenAndClamps) {
  const std::vector<int32_t> acc{1, 3, 5, -1, -3, 1 << 30, -(1 << 30), 0, 509, 511};
  const float half = 0.5f;
  Epilogue e;
  e.multiplier = &half;
  e.multiplier_stride = 0;
  e.zero = 3;
  e.low = -3;
  e.high = 252;
  std::vector<uint8_t> y(acc.size());
  kernels.finish(e, acc.data(), 10, 1, 10, y.data(), 10, nullptr);
  EXPECT_EQ(y, (std::vector<uint8_t>{3, 5, 5, 3, 1, 255, 0, 3, 255, 255}));  // 254.5 -> 254 + 3 is beyond 255
}

// The sum that the dialect calls osum.
double sum_in_lanes(const std::vector<double>& terms) {
  double lanes[16] = {};
  for (size_t i = 0; i < terms.size(); ++i) lanes[i % 16] += terms[i];
  for (int j = 0; j < 8; ++j) lanes[j] += lanes[j + 8];
  for (int j = 0; j < 4; ++j) lanes[j] += lanes[j + 4];
  for (int j = 0; j < 2; ++j) lanes[j] += lanes[j + 2];
  return lanes[0] + lanes[1];
}

TEST_P(EveryIsa, SumsHaveTheWrittenOrder) {
  std::normal_distribution<float> normal(0, 1e3f);
  for (const int64_t n : {0, 1, 15, 16, 17, 100, 1000}) {
    constexpr int64_t kColumns = 70;
    std::vector<float> x(static_cast<size_t>(n * kColumns));
    for (auto& v : x) v = normal(random);
    for (const SumOf of : {SumOf::Values, SumOf::Squares, SumOf::Magnitudes}) {
      const auto sum = [&](int64_t first, int64_t step, int64_t count) {
        std::vector<double> terms;
        for (int64_t i = 0; i < count; ++i) {
          const double v = x[static_cast<size_t>(first + i * step)];
          terms.push_back(of == SumOf::Values ? v : of == SumOf::Squares ? v * v : std::abs(v));
        }
        return sum_in_lanes(terms);
      };
      EXPECT_EQ(kernels.float32->sum(of, x.data(), n * kColumns), sum(0, 1, n * kColumns));
      std::vector<double> sums(kColumns);
      kernels.float32->column_sums(of, x.data(), n, kColumns, kColumns, sums.data());
      for (int64_t c = 0; c < kColumns; ++c) EXPECT_EQ(sums[static_cast<size_t>(c)], sum(c, kColumns, n)) << c;
    }
  }
}

TEST_P(EveryIsa, PackEqualsTheReference) {
  for (int round = 0; round < 200; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 50), k = 1 + static_cast<int64_t>(random() % 50);
    const bool flip = random() % 2, columns = random() % 2;
    std::vector<uint8_t> w(static_cast<size_t>(n * k));
    for (auto& v : w) v = static_cast<uint8_t>(random());
    AlignedBytes a, b;
    const auto size = static_cast<size_t>(packed_bytes(n, k));
    std::vector<int32_t> sums(static_cast<size_t>(round_up(n, kPanel))), want(sums.size());
    const int64_t column_stride = columns ? 1 : k, depth_stride = columns ? n : 1;
    kernels.pack(w.data(), n, k, column_stride, depth_stride, flip, a.resize(size), sums.data());
    int8_t* out = b.resize(size);
    std::memset(out, 0, size);
    for (int64_t c = 0; c < n; ++c)
      for (int64_t d = 0; d < k; ++d) {
        const auto v = static_cast<int8_t>(w[static_cast<size_t>(c * column_stride + d * depth_stride)] - (flip ? 128 : 0));
        out[(c / kPanel * round_up(k, kDepth) + d / kDepth * kDepth) * kPanel + c % kPanel * kDepth + d % kDepth] = v;
        want[static_cast<size_t>(c)] += v;
      }
    ASSERT_EQ(sums, want);
    ASSERT_EQ(std::memcmp(a.data(), b.data(), size), 0) << n << " " << k;
  }
}

TEST_P(EveryIsa, FinishEqualsTheReference) {
  for (int round = 0; round < 400; ++round) {
    const int64_t rows = 1 + static_cast<int64_t>(random() % 5), columns = 1 + static_cast<int64_t>(random() % 70);
    const auto count = static_cast<size_t>(rows * columns);
    std::vector<int32_t> acc(count);
    for (auto& v : acc) v = static_cast<int32_t>(random()) >> (random() % 24);
    const AnyEpilogue any(random, rows, columns, columns);
    std::vector<uint8_t> a(count * 4 + 1), b(count * 4 + 1);
    kernels.finish(any.e, acc.data(), columns, rows, columns, a.data(), columns, any.residual);
    reference.finish(any.e, acc.data(), columns, rows, columns, b.data(), columns, any.residual);
    ASSERT_EQ(a, b) << "round " << round;
  }
}

TEST_P(EveryIsa, DepthwiseEqualsTheSumOfProducts) {
  for (int round = 0; round < 150; ++round) {
    const int64_t channels = 1 + static_cast<int64_t>(random() % 150), count = 1 + static_cast<int64_t>(random() % 26);
    const int64_t pixels = 1 + static_cast<int64_t>(random() % 5), step = channels * (1 + static_cast<int64_t>(random() % 2));
    std::vector<std::vector<uint8_t>> rows(static_cast<size_t>(round_up(count, 2)));
    std::vector<const uint8_t*> taps;
    for (auto& row : rows) {
      row.resize(static_cast<size_t>((pixels - 1) * step + channels));
      for (auto& v : row) v = round % 3 == 0 ? 255 : static_cast<uint8_t>(random());
      taps.push_back(row.data());
    }
    AlignedBytes packed;
    const auto size =
        static_cast<size_t>(kernels.vnni4_layout ? vnni4_elements(channels, count) : 2 * depthwise_elements(channels, count));
    int8_t* w = packed.resize(size);
    std::fill(w, w + size, int8_t{0});
    std::vector<int32_t> acc(static_cast<size_t>(pixels * channels)), want(acc.size());
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t t = 0; t < count; ++t) {
        const auto code = static_cast<int8_t>(round % 3 == 0 ? -128 : static_cast<int>(random() % 256) - 128);
        if (kernels.vnni4_layout)
          w[vnni4_index(c, t, count)] = code;
        else
          reinterpret_cast<int16_t*>(w)[depthwise_index(c, t, count)] = code;
        for (int64_t p = 0; p < pixels; ++p)
          want[static_cast<size_t>(p * channels + c)] += code * rows[static_cast<size_t>(t)][static_cast<size_t>(p * step + c)];
      }
    kernels.depthwise(taps.data(), count, w, channels, pixels, step, 0, acc.data());
    ASSERT_EQ(acc, want) << channels << " " << count << " " << pixels;
  }
}

TEST_P(EveryIsa, FusedProductEqualsItsSteps) {
  const std::string isa = GetParam();
  test_fused(kernels.fused, kernels, random, [&](const PackedWeights& w, const AnyEpilogue& any, int64_t rows) {
    if (isa == "amx_int8") return tiles_take(w, any, rows);
    return isa == "avx512_vnni" && can_fuse(w, any.e, any.residual != nullptr);
  });
}

TEST_P(EveryIsa, FusedDepthwiseEqualsItsSteps) {
  if (kernels.fused_depthwise == nullptr) GTEST_SKIP() << "there is none";
  for (int round = 0; round < 3000; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 150), pixels = 1 + static_cast<int64_t>(random() % 50);
    AnyEpilogue any(random, pixels, n, n);
    Epilogue& e = any.e;
    if (e.type != DType::U8 || !e.bounded || e.multiplier_stride == 0) continue;
    e.bias = any.bias.data();
    std::vector<uint8_t> a(static_cast<size_t>((pixels + 3) * n * 2 + 64)), got(static_cast<size_t>(pixels * n), 3), want = got;
    std::vector<int8_t> codes(static_cast<size_t>(n * 12));
    for (auto& v : a) v = static_cast<uint8_t>(random());
    for (auto& v : codes) v = static_cast<int8_t>(random());
    AlignedBytes packed;
    std::vector<int32_t> acc(static_cast<size_t>(pixels * n));
    const int column_reuse = static_cast<int>(random() % 3);
    const int64_t taps = column_reuse > 0 ? 12 : 1 + static_cast<int64_t>(random() % 12), step = n;
    std::vector<const uint8_t*> at(static_cast<size_t>(round_up(taps, 2)));
    for (auto& p : at) p = a.data() + random() % 40;
    for (size_t i = 0; column_reuse > 0 && i < at.size(); ++i)
      if (i >= static_cast<size_t>(4 * column_reuse)) at[i] = at[i - static_cast<size_t>(4 * column_reuse)] + step;
    int8_t* weights = packed.resize(static_cast<size_t>(vnni4_elements(n, taps)));
    std::memset(weights, 0, static_cast<size_t>(vnni4_elements(n, taps)));
    for (int64_t c = 0; c < n; ++c)
      for (int64_t t = 0; t < taps; ++t)
        if (column_reuse == 0 || t % 4 != 3) weights[vnni4_index(c, t, taps)] = codes[static_cast<size_t>(c * taps + t)];
    kernels.fused_depthwise(at.data(), taps, weights, n, pixels, step, column_reuse, e, got.data());
    kernels.depthwise(at.data(), taps, weights, n, pixels, step, 0, acc.data());
    reference.finish(e, acc.data(), n, pixels, n, want.data(), n, nullptr);
    ASSERT_EQ(got, want) << pixels << " " << n << " " << taps;
  }
}

TEST_P(EveryIsa, RowKernelsEqualTheReference) {
  for (int round = 0; round < 400; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 300);
    const auto size = static_cast<size_t>(n);
    std::normal_distribution<float> normal;
    std::vector<float> t(size), gamma(size), beta(size), scratch(size);
    std::vector<int16_t> wide(size), other(size);
    std::vector<uint8_t> narrow(size);
    for (size_t i = 0; i < size; ++i) {
      t[i] = normal(random) * 8;
      if (random() % 17 == 0) t[i] = -std::numeric_limits<float>::infinity();
      gamma[i] = normal(random);
      beta[i] = normal(random);
      wide[i] = static_cast<int16_t>(random());
      other[i] = static_cast<int16_t>(random());
      narrow[i] = static_cast<uint8_t>(random());
    }
    if (round % 20 == 0) std::fill(t.begin(), t.end(), -std::numeric_limits<float>::infinity());
    if (round % 21 == 0) std::fill(wide.begin(), wide.end(), int16_t{0});
    auto both = [&](auto&& f) {
      std::vector<uint8_t> a(size * 4 + 8), b(size * 4 + 8);
      f(kernels, a.data());
      f(reference, b.data());
      ASSERT_EQ(a, b) << "round " << round << " n " << n;
    };
    both([&](const Kernels& k, uint8_t* y) {
      auto copy = t;
      k.softmax(copy.data(), n, 255, y, nullptr, nullptr);
    });
    both([&](const Kernels& k, uint8_t* y) {
      auto copy = t;
      k.softmax(copy.data(), n, 255, nullptr, nullptr, reinterpret_cast<float*>(y));
    });
    Epilogue e;
    e.type = DType::I16;
    e.low = -32768;
    e.high = 32767;
    const float steps[] = {0.01f, -0.3f, 1e-44f, 3e38f, 1e-38f, 1.7f};
    const float step = round % 2 ? steps[random() % 6] : 0.01f, *factors = random() % 3 ? nullptr : gamma.data();
    const int32_t origin = random() % 2 ? 0 : static_cast<int32_t>(random() % 256);
    const bool bytes = random() % 3 == 0;
    if (round % 5 == 0) wide[static_cast<size_t>(random() % size)] = -32768;
    both([&](const Kernels& k, uint8_t* y) {
      const void* x = bytes ? static_cast<const void*>(narrow.data()) : wide.data();
      const float scale = k.quantize_tokens(x, bytes ? DType::U8 : DType::I16, origin, step, factors, n, y, scratch.data());
      std::memcpy(y + size, &scale, 4);
    });
    both([&](const Kernels& k, uint8_t* y) { k.layer_norm(wide.data(), DType::I16, n, 1e-5f, gamma.data(), beta.data(), e, y); });
    both([&](const Kernels& k, uint8_t* y) {
      k.layer_norm(narrow.data(), DType::U8, n, 1e-5f, gamma.data(), beta.data(), Epilogue{}, y);
    });
    for (int op = 0; op < 6; ++op)
      both([&](const Kernels& k, uint8_t* y) {
        k.binary(static_cast<dialect::BinaryOp>(op), wide.data(), DType::I16, 5, 0.3f, 1, other.data(), DType::I16, -7, 0.7f,
                 round % 2, n, e, y);
      });
    both([&](const Kernels& k, uint8_t* y) { k.requantize(narrow.data(), DType::U8, 9, gamma.data(), 1, n, e, y); });
    both([&](const Kernels& k, uint8_t* y) { k.quantize(t.data(), 0.1f, n, e, y); });
  }
}

TEST_P(EveryIsa, AttentionRowsEqualTheReference) {
  for (int round = 0; round < 200; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 300), rows = 1 + static_cast<int64_t>(random() % kAttentionRows),
                  ldc = n + static_cast<int64_t>(random() % 20);
    const auto count = static_cast<size_t>(rows * n);
    std::vector<int32_t> acc(static_cast<size_t>(rows * ldc)), bias(static_cast<size_t>(n)), shift(static_cast<size_t>(rows));
    std::vector<float> mask(count);
    std::normal_distribution<float> normal;
    for (auto& v : acc) v = static_cast<int32_t>(random()) >> (random() % 20);
    for (auto& v : bias) v = static_cast<int32_t>(random()) >> 8;
    for (auto& v : shift) v = static_cast<int32_t>(random()) >> 16;
    for (auto& v : mask) v = random() % 17 == 0 ? -std::numeric_limits<float>::infinity() : normal(random) * 8;
    const int64_t dead = static_cast<int64_t>(random()) % rows;
    std::fill_n(mask.begin() + dead * n, n, -std::numeric_limits<float>::infinity());
    const float scale = round % 5 == 0 ? 1e-9f : 3e-7f;
    std::vector<uint8_t> got(count, 7), want(count, 9);
    std::vector<int32_t> sums(static_cast<size_t>(rows)), wanted(sums);
    auto run = [&](const Kernels& k, std::vector<uint8_t>& codes, std::vector<int32_t>& totals) {
      auto copy = acc;
      k.attention_rows(copy.data(), ldc, bias.data(), shift.data(), rows, n, scale, round % 3 == 0 ? nullptr : mask.data(),
                       round % 2 == 0 ? n : 0, round % 3 - 1, codes.data(), totals.data());
    };
    run(kernels, got, sums);
    run(reference, want, wanted);
    ASSERT_EQ(got, want) << rows << " " << n;
    ASSERT_EQ(sums, wanted);
    for (int64_t r = 0; r < rows; ++r)
      ASSERT_EQ(sums[static_cast<size_t>(r)], std::accumulate(got.begin() + r * n, got.begin() + (r + 1) * n, 0));
  }
}

std::vector<float> some_floats(std::mt19937& random, int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> made(static_cast<size_t>(n));
  for (auto& v : made) v = random() % 40 == 0 ? 1e-40f : normal(random) * std::exp2(static_cast<float>(random() % 20));
  return made;
}

struct AnyFloatEpilogue {
  AnyFloatEpilogue(std::mt19937& random, int64_t rows, int64_t columns)
      : per_row(some_floats(random, rows)), per_column(some_floats(random, columns)), whole(some_floats(random, rows * columns)) {
    if (random() % 2) e.row_bias = per_row.data();
    if (random() % 2) e.column_bias = per_column.data();
    if (random() % 2) e.residual = whole.data();
    e.residual_row = columns;
    e.alpha = random() % 2 ? 1.0f : 0.3f;
    e.beta = random() % 2 ? 1.0f : -1.7f;
    e.clamped = random() % 2;
    e.high = 3e3f;
  }
  std::vector<float> per_row, per_column, whole;
  FloatEpilogue e;
};

TEST_P(EveryIsa, FloatProductEqualsTheReference) {
  for (int round = 0; round < 600; ++round) {
    const int64_t rows = 1 + static_cast<int64_t>(random() % 20), columns = 1 + static_cast<int64_t>(random() % 150),
                  k = static_cast<int64_t>(random() % 30), first = k / 2;
    const bool transposed = random() % 2, packed = random() % 2;
    const auto a = some_floats(random, rows * k);
    const int64_t wide = round_up(columns, kPanel);
    const auto b = some_floats(random, wide * k);
    const AnyFloatEpilogue any(random, rows, columns);
    std::vector<float> got(static_cast<size_t>(rows * columns)), want(got);
    auto run = [&](const Kernels& with, std::vector<float>& y) {
      for (int64_t from : {int64_t{0}, first}) {  // in two parts along k
        const int64_t row = transposed ? 1 : k, step = transposed ? rows : 1, b_step = packed ? kPanel : wide;
        with.gemm_f32({a.data() + from * step, row, step}, rows,
                      {b.data() + from * b_step, packed ? panel_floats(k) : kPanel, b_step}, columns,
                      from == 0 ? first : k - first, from == 0, from == 0 && first > 0 ? nullptr : &any.e, y.data(), columns);
        if (first == 0) break;
      }
    };
    run(kernels, got);
    run(reference, want);
    ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * 4), 0) << rows << " " << columns << " " << k;
  }
}

TEST_P(EveryIsa, GatheredPanelsEqualTheReference) {
  for (int round = 0; round < 400; ++round) {
    const int64_t stride = 1 + static_cast<int64_t>(random() % 3), channels = 1 + static_cast<int64_t>(random() % 3);
    std::vector<PanelSegment> segments;
    int64_t size = 0;
    for (int32_t lane = static_cast<int32_t>(random() % 4); lane < kPanel;) {
      const auto count = static_cast<int32_t>(1 + random() % static_cast<unsigned>(kPanel - lane));
      segments.push_back({lane, count, size});
      size += (count - 1) * stride + 1;
      lane += count + static_cast<int32_t>(random() % 3);
    }
    const auto x = some_floats(random, size * channels);
    std::vector<float> got(static_cast<size_t>(channels * 20)), want(got);
    const auto count = static_cast<int64_t>(segments.size());
    kernels.gather_f32(x.data(), size, channels, segments.data(), count, stride, got.data(), 20);
    reference.gather_f32(x.data(), size, channels, segments.data(), count, stride, want.data(), 20);
    ASSERT_EQ(got, want);
  }
}

TEST_P(EveryIsa, SumsOfTapsEqualTheReference) {
  for (int round = 0; round < 300; ++round) {
    const int64_t n = 1 + static_cast<int64_t>(random() % 300), count = 1 + static_cast<int64_t>(random() % 12);
    const auto x = some_floats(random, n + 20 + kTapsBeyond), w = some_floats(random, count);
    std::vector<const float*> taps(static_cast<size_t>(count));
    for (auto& tap : taps) tap = x.data() + random() % 20;
    const AnyFloatEpilogue any(random, 1, n);
    std::vector<float> got(static_cast<size_t>(n)), want(got);
    kernels.depthwise_f32(taps.data(), w.data(), count, n, any.e, got.data());
    reference.depthwise_f32(taps.data(), w.data(), count, n, any.e, want.data());
    ASSERT_EQ(std::memcmp(got.data(), want.data(), got.size() * 4), 0) << n << " " << count;
  }
}

TEST_P(EveryIsa, CurveEqualsItsDefinition) {
  std::normal_distribution<float> normal;
  for (int round = 0; round < 100; ++round) {
    const auto n = static_cast<size_t>(1 + random() % 100);
    std::vector<float> c(Curve::kTerms * Curve::kSegments);
    for (size_t i = 0; i < c.size(); ++i) c[i] = normal(random) * (i < 32 ? 3e4f : i < 64 ? 10.0f : 1e-3f);
    if (round % 7 == 0) c[random() % c.size()] = std::numeric_limits<float>::quiet_NaN();
    const Curve f{c.data(), static_cast<int32_t>(random() % 65536) - 32768, static_cast<int>(random() % 12)};
    std::vector<int16_t> x(n), y(n);
    for (auto& v : x) v = static_cast<int16_t>(random());
    Epilogue e;
    e.type = DType::I16;
    e.zero = static_cast<int32_t>(random() % 2000) - 1000;
    e.low = static_cast<float>(-32768 - e.zero);
    e.high = static_cast<float>(32767 - e.zero);
    kernels.curve(x.data(), f, static_cast<int64_t>(n), e, y.data());
    for (size_t i = 0; i < n; ++i) {
      const int32_t segment = std::clamp((x[i] - f.start) >> f.shift, 0, 31);
      const auto d = static_cast<float>(x[i] - f.start - segment * (1 << f.shift) - (1 << f.shift) / 2);
      float t = c[static_cast<size_t>(4 * 32 + segment)];
      for (int k = 3; k >= 0; --k) {
        volatile float product = t * d;  // a rounding of its own
        t = product + c[static_cast<size_t>(k * 32 + segment)];
      }
      const float code = std::isnan(t) ? e.low : std::nearbyint(std::clamp(t, e.low, e.high));
      ASSERT_EQ(y[i], static_cast<int32_t>(code) + e.zero) << x[i] << " " << f.start << " " << f.shift;
    }
  }
}

TEST_P(EveryIsa, SoftmaxIsCloseToTheRealOne) {
  std::vector<float> t{0.0f, 1.0f, -2.0f, 3.5f, 3.0f, -40.0f};
  std::vector<float> p(t.size());
  double total = 0;
  for (float v : t) total += std::exp(static_cast<double>(v));
  auto copy = t;
  kernels.softmax(copy.data(), 6, 255, nullptr, nullptr, p.data());
  for (size_t i = 0; i < t.size(); ++i) EXPECT_NEAR(p[i], std::exp(static_cast<double>(t[i])) / total, 2e-6);
}

INSTANTIATE_TEST_SUITE_P(All, EveryIsa, testing::ValuesIn(available_isas()), [](const auto& info) { return info.param; });

TEST(Isa, UnknownNameIsRefused) {
  std::string chosen;
  EXPECT_THROW(select_kernels("sse9", &chosen), Error);
}

}  // namespace
}  // namespace qgraph
