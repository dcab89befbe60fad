// Transpose, Slice, Split, Expand, Tile, depth and space: a copy by strides.
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/copy.h"
#include "backend/cpu/ops/kernel.h"
#include "ops/movement.h"
#include "ops/shape.h"

namespace qgraph::cpu {
namespace {

/// to[i * N + j] = from[i + j * step]: planes of bytes side by side, a word at a time, which reaches into the next element.
template <int N>
void interleave(const uint8_t* from, int64_t step, int64_t n, uint8_t* to) {
  auto word = [&](int64_t i) {
    uint32_t all = 0;
    for (int j = 0; j < N; ++j) all |= uint32_t{from[i + j * step]} << (8 * j);
    return all;
  };
  for (int64_t i = 0; i + 1 < n; ++i) {
    const uint32_t all = word(i);
    std::memcpy(to + i * N, &all, 4);
  }
  const uint32_t all = word(n - 1);
  std::memcpy(to + (n - 1) * N, &all, N);
}

/// The case of elements whose last two axes are a matrix turned: y[..., i, j] = x[... + i + j * step].
template <typename T>
void transpose(ThreadPool& pool, const T* x, T* y, const Shape& shape, const std::vector<int64_t>& strides, size_t rank) {
  const int64_t rows = shape[rank - 2], columns = shape[rank - 1], step = strides[rank - 1];
  const int64_t tile = columns <= 4 ? 4096 : 64;  // rows at a time, whose lines stay in the cache
  const Shape outer(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(rank - 2));
  const int64_t tiles = (rows + tile - 1) / tile;
  pool.parallel(elements(outer) * tiles, std::max<int64_t>(1, (1 << 13) / (tile * columns)),
                [&, rows, columns, step, tile](int64_t begin, int64_t end, int) {
                  for (int64_t t = begin; t < end; ++t) {
                    int64_t at = 0, rest = t / tiles;
                    for (size_t d = outer.size(); d-- > 0;) {
                      at += rest % outer[d] * strides[d];
                      rest /= outer[d];
                    }
                    const int64_t first = t % tiles * tile, last = std::min(rows, first + tile);
                    const T* from = x + at;
                    T* to = y + t / tiles * rows * columns;
                    if constexpr (sizeof(T) == 1) {
                      if (columns >= 2 && columns <= 4) {
                        const auto run = columns == 2 ? interleave<2> : columns == 3 ? interleave<3> : interleave<4>;
                        run(from + first, step, last - first, to + first * columns);
                        continue;
                      }
                    }
                    for (int64_t j = 0; j < columns; ++j)
                      for (int64_t i = first; i < last; ++i) to[i * columns + j] = from[i + j * step];
                  }
                });
}

/// Copy elements of `size` bytes: y[i...] = x[base + sum i_d * stride_d], over the output's shape.
void copy_strided(ThreadPool& pool, const uint8_t* x, uint8_t* y, const Shape& shape, const std::vector<int64_t>& strides,
                  size_t size) {
  if (elements(shape) == 0) return;
  // fold trailing axes that are contiguous in both into one block
  int64_t block = 1;
  size_t rank = shape.size();
  while (rank > 0 && (shape[rank - 1] == 1 || strides[rank - 1] == block)) block *= shape[--rank];
  const size_t bytes = static_cast<size_t>(block) * size;
  if (rank > 1 && block == 1 && strides[rank - 2] == 1)
    return with_word(size, [&]<typename T>(T) {
      transpose(pool, reinterpret_cast<const T*>(x), reinterpret_cast<T*>(y), shape, strides, rank);
    });
  const int64_t last = rank > 0 ? shape[rank - 1] : 1, step = rank > 0 ? strides[rank - 1] : 0;
  const Shape outer(shape.begin(), shape.begin() + static_cast<std::ptrdiff_t>(rank > 0 ? rank - 1 : 0));
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / static_cast<int64_t>(bytes * static_cast<size_t>(last)));
  pool.parallel(elements(outer), grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t o = begin; o < end; ++o) {
      int64_t at = 0, rest = o;
      for (size_t d = outer.size(); d-- > 0;) {
        at += rest % outer[d] * strides[d];
        rest /= outer[d];
      }
      uint8_t* to = y + static_cast<size_t>(o * last) * bytes;
      const uint8_t* from = x + static_cast<std::ptrdiff_t>(at) * static_cast<std::ptrdiff_t>(size);
      if (block != 1) {
        for (int64_t i = 0; i < last; ++i)
          std::memcpy(to + static_cast<size_t>(i) * bytes,
                      from + static_cast<std::ptrdiff_t>(i * step) * static_cast<std::ptrdiff_t>(size), bytes);
      } else if (step == 0) {
        fill_elements(to, from, size, last);
      } else {
        with_word(size, [&]<typename T>(T) {
          for (int64_t i = 0; i < last; ++i) reinterpret_cast<T*>(to)[i] = reinterpret_cast<const T*>(from)[i * step];
        });
      }
    }
  });
}

class StridedCopyKernel : public CpuKernel {
 public:
  StridedCopyKernel(const ops::StridedCopy& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  void compute(const Context& c) override {
    const size_t size = byte_size(c.in[0]->type);
    copy_strided(*c.pool, c.in[0]->as<uint8_t>() + static_cast<size_t>(op_.base) * size, c.out[0]->as<uint8_t>(), op_.copy_shape,
                 op_.strides, size);
  }

 private:
  const ops::StridedCopy& op_;
};

class SplitKernel : public CpuKernel {
 public:
  SplitKernel(const ops::Split& op, const OpSource&, const Workspace& workspace) : CpuKernel(workspace), op_(op) {}

  size_t prepare(const Values& v) override {
    strides_ = strides_of(v.in[0]->shape);
    return 0;
  }
  void compute(const Context& c) override {
    const size_t size = byte_size(c.in[0]->type);
    for (size_t i = 0; i < c.out.size(); ++i)
      copy_strided(*c.pool, c.in[0]->as<uint8_t>() + static_cast<size_t>(op_.starts[i]) * size, c.out[i]->as<uint8_t>(),
                   c.out[i]->shape, strides_, size);
  }

 private:
  const ops::Split& op_;
  std::vector<int64_t> strides_;
};

}  // namespace

void add_strided_copy_kernels(KernelTable& table) {
  table.emplace_back("Transpose", make<StridedCopyKernel, ops::Transpose>);
  table.emplace_back("Slice", make<StridedCopyKernel, ops::Slice>);
  table.emplace_back("Expand", make<StridedCopyKernel, ops::Expand>);
  table.emplace_back("Tile", make<StridedCopyKernel, ops::Tile>);
  table.emplace_back("DepthToSpace", make<StridedCopyKernel, ops::DepthSpace>);
  table.emplace_back("SpaceToDepth", make<StridedCopyKernel, ops::DepthSpace>);
  table.emplace_back("Split", make<SplitKernel, ops::Split>);
}

}  // namespace qgraph::cpu
