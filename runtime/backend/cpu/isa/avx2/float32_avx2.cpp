#define QGRAPH_ISA avx2
#include "backend/cpu/isa/float32.inc"
