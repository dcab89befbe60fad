#define QGRAPH_ISA avx512_vnni
#include "backend/cpu/isa/float32.inc"
