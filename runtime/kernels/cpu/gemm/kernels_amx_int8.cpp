// AMX has a matrix product of its own; everything else is that of AVX-512.
#include "kernels/cpu/gemm/gemm.h"

namespace qgraph::amx_int8 {

const Kernels& kernels() {
  static const Kernels table = [] {
    Kernels made = avx512_vnni::kernels();
    made.isa = "amx_int8";
    made.gemm = gemm;
    return made;
  }();
  return table;
}

}  // namespace qgraph::amx_int8
