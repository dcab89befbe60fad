// Aligned memory; large pieces lie on pages of 2 MiB where the system has them, which spares address translations.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>

namespace qgraph {

/// `bytes` rounded up to whole lines of 64, aligned to them; null when there is no memory. Free it with std::free.
inline void* allocate_aligned(size_t bytes) {
  constexpr size_t kLine = 64, kHuge = size_t{2} << 20;
  if (bytes < 2 * kHuge) return std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
  void* data = std::aligned_alloc(kHuge, (bytes + kHuge - 1) / kHuge * kHuge);
#ifdef MADV_HUGEPAGE
  if (data != nullptr) madvise(data, bytes, MADV_HUGEPAGE);
#endif
  return data;
}

}  // namespace qgraph
