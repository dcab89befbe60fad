#include "ops/registry.h"

#include <unordered_map>

#include "ops/attention.h"
#include "ops/check_attributes.h"
#include "ops/control.h"
#include "ops/conv.h"
#include "ops/index.h"
#include "ops/linear.h"
#include "ops/movement.h"
#include "ops/norm.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/resize.h"

namespace qgraph {
namespace {

using Factory = std::unique_ptr<Op> (*)(const OpSource&);

template <typename T>
std::unique_ptr<Op> make(const OpSource& s) {
  return std::make_unique<T>(s);
}

const std::unordered_map<std::string, Factory>& factories() {
  static const std::unordered_map<std::string, Factory> table{
      {"Linear", make<ops::Linear>},
      {"MatMul", make<ops::MatMul>},
      {"Conv", make<ops::Conv>},
      {"ConvTranspose", make<ops::ConvTranspose>},
      {"Attention", make<ops::Attention>},
      {"Quantize", make<ops::Quantize>},
      {"Dequantize", make<ops::Dequantize>},
      {"Requantize", make<ops::Requantize>},
      {"QuantizeTokens", make<ops::QuantizeTokens>},
      {"Lookup", make<ops::Lookup>},
      {"Curve", make<ops::Curve>},
      {"Binary", make<ops::Binary>},
      {"LayerNorm", make<ops::LayerNorm>},
      {"GroupNorm", make<ops::GroupNorm>},
      {"Softmax", make<ops::Softmax>},
      {"LocalResponseNorm", make<ops::LocalResponseNorm>},
      {"MaxPool", make<ops::Pool>},
      {"AveragePool", make<ops::Pool>},
      {"ReduceMean", make<ops::ReduceMean>},
      {"ReduceMax", make<ops::ReduceMax>},
      {"Resize", make<ops::Resize>},
      {"Reshape", make<ops::View>},
      {"Squeeze", make<ops::View>},
      {"Unsqueeze", make<ops::View>},
      {"Flatten", make<ops::View>},
      {"Identity", make<ops::View>},
      {"Transpose", make<ops::Transpose>},
      {"Slice", make<ops::Slice>},
      {"Split", make<ops::Split>},
      {"Concat", make<ops::Concat>},
      {"Gather", make<ops::Gather>},
      {"GatherElements", make<ops::Gather>},
      {"GatherND", make<ops::Gather>},
      {"Expand", make<ops::Expand>},
      {"Tile", make<ops::Tile>},
      {"Pad", make<ops::Pad>},
      {"DepthToSpace", make<ops::DepthSpace>},
      {"SpaceToDepth", make<ops::DepthSpace>},
      {"Shape", make<ops::ShapeOf>},
      {"Size", make<ops::ShapeOf>},
      {"Cast", make<ops::Cast>},
      {"Add", make<ops::Elementwise>},
      {"Sub", make<ops::Elementwise>},
      {"Mul", make<ops::Elementwise>},
      {"Div", make<ops::Elementwise>},
      {"Mod", make<ops::Elementwise>},
      {"Max", make<ops::Elementwise>},
      {"Min", make<ops::Elementwise>},
      {"Equal", make<ops::Elementwise>},
      {"Greater", make<ops::Elementwise>},
      {"Less", make<ops::Elementwise>},
      {"GreaterOrEqual", make<ops::Elementwise>},
      {"LessOrEqual", make<ops::Elementwise>},
      {"And", make<ops::Elementwise>},
      {"Or", make<ops::Elementwise>},
      {"Xor", make<ops::Elementwise>},
      {"ArgMax", make<ops::ArgExtreme>},
      {"ArgMin", make<ops::ArgExtreme>},
      {"CumSum", make<ops::CumSum>},
      {"Not", make<ops::Unary>},
      {"IsNaN", make<ops::Unary>},
      {"Neg", make<ops::Unary>},
      {"Relu", make<ops::Unary>},
      {"Abs", make<ops::Unary>},
      {"Where", make<ops::Where>},
      {"If", make<ops::If>},
      {"Loop", make<ops::Loop>},
      {"Scan", make<ops::Scan>},
      {"NonZero", make<ops::NonZero>},
      {"Range", make<ops::Range>},
      {"ConstantOfShape", make<ops::Fill>},
  };
  return table;
}

}  // namespace

std::unique_ptr<Op> make_op(const OpSource& source) {
  const auto it = factories().find(source.info.kind);
  if (it == factories().end())
    throw Error("this runtime has no op '" + source.info.kind + "'; use the runtime that belongs to the compiler");
  check_attributes(source.info);
  return it->second(source);
}

}  // namespace qgraph
