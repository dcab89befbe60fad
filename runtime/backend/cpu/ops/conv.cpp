// Conv, by the first method that supports it, and ConvTranspose.
#include "backend/cpu/ops/conv.h"

#include "backend/cpu/ops/epilogue.h"

namespace qgraph::cpu {
namespace {

std::unique_ptr<Kernel> make_conv(const Op& op, const OpSource& source, const Workspace& workspace) {
  for (const ConvMethod* method : {&kDepthwiseConv, &kPointwiseConv, &kImplicitGemmConv})
    if (method->supports(static_cast<const ops::Conv&>(op), workspace.kernels)) return method->make(op, source, workspace);
  return kIm2colConv.make(op, source, workspace);
}

}  // namespace

Epilogue conv_epilogue(const ops::ConvBase& op) {
  Epilogue e = epilogue_of(op.output);
  e.multiplier = op.multiplier;
  e.bias = op.bias;
  return e;
}

void add_conv_kernels(KernelTable& table) {
  table.emplace_back("Conv", make_conv);
  table.emplace_back("ConvTranspose", make_transposed_conv);
}

}  // namespace qgraph::cpu
