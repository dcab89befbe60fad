// A matrix product against the sum of products, for codes of 8, 4 and 2 bits, codes that choose levels, and every kind of
// remainder.
#pragma once

#include <gtest/gtest.h>

#include <random>

#include "kernels/weights.h"

namespace qgraph {

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

/// The same for weights of many zeros in their sparse forms.
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
