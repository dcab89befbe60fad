// A matrix product against the sum of products, for codes of 8, 4 and 2 bits, codes that choose levels, and every kind of
// remainder.
#pragma once

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph {

using namespace cpu;

inline void test_product(decltype(Kernels::gemm) gemm, const Kernels& kernels, std::mt19937& random) {
  const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 15, 16, 17, 31, 33, 48, 63, 65, 100};
  const DType types[] = {DType::I8, DType::I4, DType::I2, DType::U4, DType::U2};
  for (int round = 0; round < 450; ++round) {
    const int64_t m = sizes[random() % 12], n = sizes[random() % 15],
                  k = sizes[random() % 15] * (1 + static_cast<int64_t>(random() % 5));
    const int style = round / 5 % 4;  // the largest codes in every product: what saturating instructions get wrong
    TensorInfo info;
    info.type = types[round % 5];
    info.shape = {n, k};
    const int width = bits(info.type), top = 1 << (width - 1);
    std::vector<uint8_t> a(static_cast<size_t>(m * k)), stored(static_cast<size_t>(n * k * width / 8 + 1));
    for (auto& v : a) v = style == 0 ? 255 : static_cast<uint8_t>(random());
    for (int64_t i = 0; i < n * k; ++i) {
      const int code = style == 0   ? -top
                       : style == 1 ? top - 1
                                    : static_cast<int>(random() % (2u * static_cast<unsigned>(top))) - top;
      auto& byte = stored[static_cast<size_t>(i * width / 8)];
      byte = static_cast<uint8_t>(byte | (code & (2 * top - 1)) << (i * width % 8));
    }
    info.data = stored.data();
    WeightCodes codes{info, kSigned.of(width)};
    if (info.type == DType::U4 || info.type == DType::U2)
      for (size_t i = 0; i < 16; ++i)
        codes.levels[i] = i < (size_t{1} << width) ? static_cast<int8_t>(random()) : codes.levels[i % (size_t{1} << width)];
    AlignedBytes packed;
    std::vector<int32_t> sums(static_cast<size_t>(round_up(n, kPanel))), acc(static_cast<size_t>(m * n), 123);
    packed.resize(static_cast<size_t>(packed_bytes(n, k, width)));
    const PackedWeights w = pack_codes(codes, 0, n, k, k, kernels, packed.data(), sums.data());
    const int64_t column = n > 2 * kPanel && random() % 2 ? kPanel : 0;
    gemm(a.data(), k, m, w, column, n - column, acc.data() + column, n);
    for (int64_t c = 0; c < n; ++c) {
      int64_t total = 0;
      for (int64_t i = 0; i < k; ++i) total += codes.at(c * k + i);
      ASSERT_EQ(sums[static_cast<size_t>(c)], total);
      for (int64_t r = 0; r < m; ++r) {
        int64_t sum = 0;
        for (int64_t i = 0; i < k; ++i) sum += int64_t{a[static_cast<size_t>(r * k + i)]} * codes.at(c * k + i);
        ASSERT_EQ(acc[static_cast<size_t>(r * n + c)], c < column ? 123 : sum) << m << " " << n << " " << k << " " << width;
      }
    }
  }
}

/// An epilogue of any kind for rows x columns accumulators, `stride` elements from row to row of its output and residual.
struct AnyEpilogue {
  AnyEpilogue(std::mt19937& random, int64_t rows, int64_t columns, int64_t stride)
      : bias(static_cast<size_t>(columns)),
        multiplier(bias.size()),
        bias_f(bias.size()),
        row_scale(static_cast<size_t>(rows)),
        beside(static_cast<size_t>(rows * stride)) {
    std::normal_distribution<float> normal;
    for (auto& v : bias) v = static_cast<int32_t>(random()) >> 8;
    const bool wild = random() % 2;
    for (auto* list : {&multiplier, &bias_f, &row_scale})
      for (auto& v : *list) v = normal(random) * (wild && random() % 9 == 0 ? 1e30f : 1e-2f);
    if (random() % 10 == 0) multiplier[0] = std::numeric_limits<float>::quiet_NaN();
    for (auto& v : beside) v = static_cast<int16_t>(random());
    const bool tokens = random() % 2, wide = random() % 2;
    e.multiplier = multiplier.data();
    e.multiplier_stride = tokens ? 1 : static_cast<int>(random() % 2);
    if (random() % 2) e.bias = bias.data();
    if (tokens) e.row_scale = row_scale.data();
    if (tokens && random() % 2) e.bias_f = bias_f.data();
    e.residual_type = wide ? DType::I16 : DType::U8;
    e.residual_zero = static_cast<int32_t>(random() % 200);
    e.residual_multiplier = normal(random);
    e.intermediate = random() % 2;
    e.intermediate_low = -static_cast<float>(random() % 300);
    e.intermediate_high = e.intermediate_low + static_cast<float>(random() % 400);
    e.intermediate_multiplier = normal(random);
    e.type = random() % 3 == 0 ? DType::F32 : random() % 2 ? DType::U8 : DType::I16;
    if (e.type == DType::I16) {
      e.zero = random() % 2 ? 0 : -2000;
      e.low = -30000;
      e.high = static_cast<float>(32767 - e.zero);
    } else if (e.type == DType::U8) {
      const auto bottom = static_cast<int32_t>(random() % 2 * (random() % 256)),
                 top = random() % 2 ? 255 : bottom + static_cast<int32_t>(random() % static_cast<unsigned>(256 - bottom));
      e.zero = static_cast<int32_t>(random() % 2 * (random() % 256));
      e.low = static_cast<float>(bottom - e.zero);
      e.high = static_cast<float>(top - e.zero);
    }
    e.bounded = !tokens && is_bounded(e, columns);
    if (random() % 2) residual = beside.data();
  }

  std::vector<int32_t> bias;
  std::vector<float> multiplier, bias_f, row_scale;
  std::vector<int16_t> beside;
  Epilogue e;
  const void* residual = nullptr;
};

/// Whether the tile kernel makes both in one step.
inline bool tiles_take(const PackedWeights& w, const AnyEpilogue& any, int64_t rows) {
  return can_fuse(w, any.e, any.residual != nullptr) || (rows >= 8 && w.k > 16);
}

/// Product and epilogue in one against the two, for whatever the kernel takes; `taken` says whether it must.
template <typename Taken>
void test_fused(decltype(Kernels::fused) fused, const Kernels& kernels, std::mt19937& random, Taken&& taken) {
  const Kernels& reference = reference::kernels();
  for (int round = 0; round < 500; ++round) {
    const int64_t rows = 1 + static_cast<int64_t>(random() % (round % 7 == 0 ? 150 : 50)),
                  n = 1 + static_cast<int64_t>(random() % 220),
                  k = (1 + static_cast<int64_t>(random() % 50)) * (random() % 2 ? 1 : 4), column = n > 64 ? random() % 2 * 64 : 0,
                  columns = 1 + static_cast<int64_t>(random()) % (n - column),
                  stride = columns + static_cast<int64_t>(random() % 9);
    std::vector<uint8_t> a(static_cast<size_t>(rows * k)), codes(static_cast<size_t>(n * k));
    for (auto* list : {&a, &codes})
      for (auto& v : *list) v = static_cast<uint8_t>(random());
    const AnyEpilogue any(random, rows, columns, stride);
    AlignedBytes packed;
    std::vector<int32_t> sums(static_cast<size_t>(round_up(n, kPanel))), acc(static_cast<size_t>(rows * columns));
    int8_t* b = packed.resize(static_cast<size_t>(packed_bytes(n, k)));
    kernels.pack(codes.data(), n, k, k, 1, false, b, sums.data());
    const PackedWeights w{b, sums.data(), n, k};
    std::vector<uint8_t> got(static_cast<size_t>(rows * stride) * byte_size(any.e.type), 5), want = got;
    const auto check = [&](const Rows& from, const uint8_t* whole) {
      const bool done = fused(from, rows, w, column, columns, any.e, got.data(), stride, any.residual);
      ASSERT_EQ(done, taken(w, any, rows)) << round;
      if (!done) return;
      reference.gemm(whole, k, rows, w, column, columns, acc.data(), columns);
      reference.finish(any.e, acc.data(), columns, rows, columns, want.data(), stride, any.residual);
      ASSERT_EQ(got, want) << rows << " " << columns << " " << k << " round " << round;
    };
    check({a.data(), k}, a.data());
    if (!kernels.strided_rows || k % kDepth != 0 || !taken(w, any, rows)) continue;
    const int64_t length = k % (3 * kDepth) == 0 ? k / 3 : k % (2 * kDepth) == 0 ? k / 2 : kDepth;
    const int64_t step = random() % 2 ? length : length + static_cast<int64_t>(random() % 40);
    std::vector<uint8_t> places(static_cast<size_t>(k / length * step + 100)), whole;
    for (auto& v : places) v = static_cast<uint8_t>(random());
    std::vector<const uint8_t*> at;
    for (int64_t r = 0; r < rows; ++r) {
      at.push_back(places.data() + random() % 100);
      for (int64_t i = 0; i < k / length; ++i) whole.insert(whole.end(), at.back() + i * step, at.back() + i * step + length);
    }
    check({nullptr, 0, at.data(), length, step}, whole.data());
  }
}

/// A matrix product with weights of many zeros in their sparse forms.
inline void test_sparse_product(decltype(Kernels::gemm) gemm, std::mt19937& random) {
  const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 13, 16, 17, 31, 33, 40, 63, 64, 65, 100, 130};
  for (int round = 0; round < 300; ++round) {
    const int64_t m = sizes[random() % 13], n = sizes[random() % 18],
                  k = sizes[random() % 18] * (1 + static_cast<int64_t>(random() % 5));
    const auto form = round % 2 == 0 ? SparseForm::TwoOfFour : SparseForm::Words;
    std::vector<uint8_t> a(static_cast<size_t>(m * k)), codes(static_cast<size_t>(n * k));
    for (auto& v : a) v = round % 3 == 0 ? 255 : static_cast<uint8_t>(random());
    for (int64_t c = 0; c < n; ++c)
      for (int64_t d = 0; d < k; d += kDepth) {
        const bool kept = (c / kPanel * 31 + d / kDepth * 7 + round) % 5 < 2;
        for (int64_t i = 0; i < std::min(int64_t{kDepth}, k - d); ++i)
          if (form == SparseForm::Words && kept && random() % 3)
            codes[static_cast<size_t>(c * k + d + i)] = static_cast<uint8_t>(random());
        for (int i = 0; i < 2 && form == SparseForm::TwoOfFour; ++i)
          codes[static_cast<size_t>(c * k + std::min<int64_t>(k - 1, d + static_cast<int64_t>(random() % 4)))] =
              round % 3 == 0 ? 0x80 : static_cast<uint8_t>(random());
      }
    TensorInfo info;
    info.type = DType::I8;
    info.shape = {n, k};
    info.data = codes.data();
    const WeightCodes weights{info, kSigned.four};
    ASSERT_TRUE(fits(weights, n, k, form));
    SparseMemory memory;
    const PackedWeights w = pack_sparse(weights, n, k, form, memory);
    std::vector<int32_t> acc(static_cast<size_t>(m * n), 123);
    const int64_t column = n > 2 * kPanel && random() % 2 ? kPanel : 0;
    gemm(a.data(), k, m, w, column, n - column, acc.data() + column, n);
    for (int64_t c = 0; c < n; ++c) {
      for (int64_t r = 0; r < m; ++r) {
        int64_t sum = 0;
        for (int64_t i = 0; i < k; ++i) sum += int64_t{a[static_cast<size_t>(r * k + i)]} * weights.at(c * k + i);
        ASSERT_EQ(acc[static_cast<size_t>(r * n + c)], c < column ? 123 : sum) << m << " " << n << " " << k << " " << round;
      }
    }
  }
}

}  // namespace qgraph
