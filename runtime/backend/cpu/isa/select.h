// CPU features and the choice of kernels.
#pragma once

#include <string>
#include <vector>

#include "backend/cpu/isa/kernels.h"

namespace qgraph {

/// The kernels of the instruction set `isa` (empty: QGRAPH_ISA, else the best this CPU has); throws Error when the CPU
/// or this build lacks it. `chosen` receives its name.
const Kernels& select_kernels(const std::string& isa, std::string* chosen);

}  // namespace qgraph
