#define QGRAPH_ISA reference
#include "backend/cpu/isa/float32.inc"
