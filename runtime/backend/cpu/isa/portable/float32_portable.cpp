#define QGRAPH_ISA portable
#include "backend/cpu/isa/float32.inc"
