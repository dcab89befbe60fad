// Instruction sets that add a matrix product and take everything else from another one.
#include "kernels/cpu/gemm/gemm.h"

namespace qgraph {
namespace {

Kernels with(Kernels table, const char* isa, int64_t row_step, decltype(Kernels::gemm) gemm, decltype(Kernels::fused) fused) {
  table.isa = isa;
  table.row_step = row_step;
  table.pieces = false;
  table.gemm = gemm;
  table.fused = fused;
  return table;
}

}  // namespace

const Kernels& avx_vnni::kernels() {
  static const Kernels table = with(avx2::kernels(), "avx_vnni", avx_vnni::kRowStep, avx_vnni::gemm, never_fused);
  return table;
}

const Kernels& amx_int8::kernels() {
  static const Kernels table = with(avx512_vnni::kernels(), "amx_int8", amx_int8::kRowStep, amx_int8::gemm, amx_int8::fused);
  return table;
}

}  // namespace qgraph
