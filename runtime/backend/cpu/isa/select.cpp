#include "backend/cpu/isa/select.h"

#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "backend/cpu/isa/gemm.h"
#include "qgraph/runtime.h"

namespace qgraph {
namespace {

struct Isa {
  const char* name;
  bool (*supported)();
  const Kernels& (*kernels)();
};

bool always() { return true; }
#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1u << 4;  // leaf 7, subleaf 1, EAX
  unsigned a, b, c, d;
  return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & kAvxVnni) != 0;
}
bool has_avx512_vnni() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
// The kernel saves tiles only for processes that ask for them.
bool has_amx_int8() {
  static const bool granted = [] {
    constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    unsigned a, b, c, d;
    if (!has_avx512_vnni() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kTile | kInt8)) != (kTile | kInt8)) return false;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return granted;
}
#endif

// Slowest first.
const Isa kIsas[] = {
    {"reference", always, reference::kernels},
    {"portable", always, portable::kernels},
#if defined(__x86_64__)
    {"avx2", has_avx2, avx2::kernels},
    {"avx_vnni", has_avx_vnni, avx_vnni::kernels},
    {"avx512_vnni", has_avx512_vnni, avx512_vnni::kernels},
    {"amx_int8", has_amx_int8, amx_int8::kernels},
#endif
};

}  // namespace

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const auto& isa : kIsas)
    if (isa.supported()) names.emplace_back(isa.name);
  return names;
}

void refuse_bits(int bits) { throw Error("there are no kernels for codes of " + std::to_string(bits) + " bits"); }

const Kernels& select_kernels(const std::string& isa, std::string* chosen) {
  std::string wanted = isa;
  if (wanted.empty())
    if (const char* forced = std::getenv("QGRAPH_ISA")) wanted = forced;
  const auto names = available_isas();
  if (wanted.empty()) wanted = names.back();
  for (const auto& candidate : kIsas) {
    if (wanted == candidate.name && candidate.supported()) {
      *chosen = wanted;
      return candidate.kernels();
    }
  }
  std::string list;
  for (const auto& n : names) list += (list.empty() ? "" : ", ") + n;
  throw Error("instruction set '" + wanted + "' is not available here; choose one of: " + list);
}

}  // namespace qgraph
