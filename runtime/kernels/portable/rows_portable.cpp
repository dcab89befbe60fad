#define QGRAPH_ISA portable
#define QGRAPH_ISA_NAME "portable"
#include "kernels/cpu/rows/rows.inc"
