// Adds matrix products by tiles to AVX-512's kernels.
#include "backend/cpu/isa/gemm.h"

namespace qgraph {

const Kernels& amx_int8::kernels() {
  static const Kernels table = [] {
    Kernels borrowed = avx512_vnni::kernels();
    borrowed.isa = "amx_int8";
    borrowed.row_step = amx_int8::kRowStep;
    borrowed.strided_rows = false;
    borrowed.gemm = amx_int8::gemm;
    borrowed.fused = amx_int8::fused;
    return borrowed;
  }();
  return table;
}

}  // namespace qgraph
