// The tile kernel with its instructions written out in C++: its logic on machines that have no tiles.
#if defined(__x86_64__)
#define QGRAPH_AMX_EMULATED
#define QGRAPH_AMX_NAMESPACE amx_emulated
#include "backend/cpu/isa/amx_int8/gemm_u8s8s32_amx_int8.cpp"
#include "backend/cpu/isa/select.h"
#include "product_test.h"

namespace qgraph {
namespace {

TEST(EmulatedTiles, ProductsEqualTheirSums) {
  const auto isas = available_isas();
  if (std::find(isas.begin(), isas.end(), "avx512_vnni") == isas.end()) GTEST_SKIP() << "few rows need avx512_vnni";
  std::mt19937 random{11};
  test_product(amx_emulated::gemm, avx512_vnni::kernels(), random);
  test_sparse_product(amx_emulated::gemm, random);
  Kernels kernels = avx512_vnni::kernels();
  kernels.strided_rows = false;
  test_fused(amx_emulated::fused, kernels, random, tiles_take);
}

}  // namespace
}  // namespace qgraph
#endif
