// Adds a matrix product to AVX2's kernels.
#include "backend/cpu/isa/gemm.h"

namespace qgraph {

const Kernels& avx_vnni::kernels() {
  static const Kernels table = [] {
    Kernels borrowed = avx2::kernels();
    borrowed.isa = "avx_vnni";
    borrowed.row_step = avx_vnni::kRowStep;
    borrowed.gemm = avx_vnni::gemm;
    return borrowed;
  }();
  return table;
}

}  // namespace qgraph
