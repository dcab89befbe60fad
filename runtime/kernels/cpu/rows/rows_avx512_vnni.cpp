#define QGRAPH_ISA avx512_vnni
#define QGRAPH_ISA_NAME "avx512_vnni"
#include "kernels/cpu/rows/rows.inc"
