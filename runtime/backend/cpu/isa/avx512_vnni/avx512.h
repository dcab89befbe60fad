// What the AVX-512 VNNI kernels share; for files that are compiled for that instruction set.
#pragma once

#include <immintrin.h>

#include "backend/cpu/isa/avx512_vnni/lanes_avx512.h"

namespace qgraph::avx512_vnni {

// GCC 12 copies and spills the accumulators of the intrinsic; as an instruction with one operand they stay in place.
inline void dot(__m512i& sum, __m512i x, __m512i w) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w)); }

}  // namespace qgraph::avx512_vnni
