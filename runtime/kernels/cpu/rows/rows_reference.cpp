#define QGRAPH_ISA reference
#define QGRAPH_ISA_NAME "reference"
#include "kernels/cpu/rows/rows.inc"
