#define QGRAPH_ISA reference
#define QGRAPH_ISA_NAME "reference"
#include "backend/cpu/isa/rows.inc"
