#define QGRAPH_ISA portable
#define QGRAPH_ISA_NAME "portable"
#include "backend/cpu/isa/rows.inc"
