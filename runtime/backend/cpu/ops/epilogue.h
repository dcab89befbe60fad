// Epilogues of the CPU's kernels from the attributes of ops.
#pragma once

#include <vector>

#include "backend/cpu/isa/kernels.h"
#include "ops/quantization.h"

namespace qgraph::cpu {

/// An epilogue that writes an output of this format; its multiplier is still to be set.
Epilogue epilogue_of(const OutputFormat& output);

void set_residual(Epilogue& e, const Residual& residual);

/// Take the zero point out once and for all: bias[c] - x_zero * column_sums[c] becomes the epilogue's bias. Returns its
/// storage, which must live as long as the epilogue.
std::vector<int32_t> fold_zero_point(Epilogue& e, const int32_t* column_sums, int64_t n, int32_t x_zero);

/// Whether an epilogue without row scales has t below 2^31 whatever the n columns' accumulators are.
bool is_bounded(const Epilogue& e, int64_t n);

}  // namespace qgraph::cpu
