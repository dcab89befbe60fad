#define QGRAPH_ISA avx2
#define QGRAPH_ISA_NAME "avx2"
#include "kernels/cpu/rows/rows.inc"
