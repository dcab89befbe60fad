#include "ops/registry.h"

#include <unordered_map>

#include "ops/attention.h"
#include "ops/check_attributes.h"
#include "ops/col2im.h"
#include "ops/control.h"
#include "ops/conv.h"
#include "ops/conv_float32.h"
#include "ops/det.h"
#include "ops/detection.h"
#include "ops/einsum.h"
#include "ops/grid.h"
#include "ops/index.h"
#include "ops/linear.h"
#include "ops/linear_float32.h"
#include "ops/movement.h"
#include "ops/norm.h"
#include "ops/norm_float32.h"
#include "ops/order.h"
#include "ops/pad.h"
#include "ops/pointwise.h"
#include "ops/pool.h"
#include "ops/pool_float32.h"
#include "ops/recurrent.h"
#include "ops/resize.h"
#include "ops/resize_float32.h"
#include "ops/scatter.h"
#include "ops/signal_float32.h"

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
      {"ai.onnx.MatMul", make<ops::FloatMatMul>},
      {"Gemm", make<ops::FloatMatMul>},
      {"FusedMatMul", make<ops::FloatMatMul>},
      {"Einsum", make<ops::Einsum>},
      {"Det", make<ops::Det>},
      {"Col2Im", make<ops::Col2Im>},
      {"Conv", make<ops::Conv>},
      {"ConvTranspose", make<ops::ConvTranspose>},
      {"ai.onnx.Conv", make<ops::FloatConv>},
      {"FusedConv", make<ops::FloatConv>},
      {"DeformConv", make<ops::FloatDeformConv>},
      {"ai.onnx.ConvTranspose", make<ops::FloatConvTranspose>},
      {"Attention", make<ops::Attention>},
      {"ai.onnx.LSTM", make<ops::Recurrent>},
      {"ai.onnx.GRU", make<ops::Recurrent>},
      {"ai.onnx.RNN", make<ops::Recurrent>},
      {"LSTM", make<ops::Recurrent>},
      {"GRU", make<ops::Recurrent>},
      {"RNN", make<ops::Recurrent>},
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
      {"ai.onnx.Softmax", make<ops::FloatSoftmax>},
      {"LogSoftmax", make<ops::FloatSoftmax>},
      {"Hardmax", make<ops::FloatSoftmax>},
      {"LayerNormalization", make<ops::RowNormalization>},
      {"RMSNormalization", make<ops::RowNormalization>},
      {"GroupNormalization", make<ops::GroupNormalization>},
      {"InstanceNormalization", make<ops::GroupNormalization>},
      {"BatchNormalization", make<ops::BatchNormalization>},
      {"LRN", make<ops::ResponseNormalization>},
      {"LpNormalization", make<ops::LpNormalization>},
      {"MeanVarianceNormalization", make<ops::MeanVarianceNormalization>},
      {"MaxPool", make<ops::Pool>},
      {"AveragePool", make<ops::Pool>},
      {"ReduceMean", make<ops::ReduceMean>},
      {"ReduceMax", make<ops::ReduceMax>},
      {"ai.onnx.ReduceMax", make<ops::Reduce>},
      {"ReduceMin", make<ops::Reduce>},
      {"ReduceSum", make<ops::Reduce>},
      {"ai.onnx.ReduceMean", make<ops::Reduce>},
      {"ReduceProd", make<ops::Reduce>},
      {"ReduceL1", make<ops::Reduce>},
      {"ReduceL2", make<ops::Reduce>},
      {"ReduceSumSquare", make<ops::Reduce>},
      {"GlobalAveragePool", make<ops::Reduce>},
      {"GlobalMaxPool", make<ops::Reduce>},
      {"GlobalLpPool", make<ops::Reduce>},
      {"ReduceLogSum", make<ops::Reduce>},
      {"ReduceLogSumExp", make<ops::Reduce>},
      {"LpPool", make<ops::WindowPool>},
      {"ai.onnx.MaxPool", make<ops::WindowPool>},
      {"ai.onnx.AveragePool", make<ops::WindowPool>},
      {"MaxUnpool", make<ops::MaxUnpool>},
      {"MaxRoiPool", make<ops::MaxRoiPool>},
      {"Resize", make<ops::Resize>},
      {"ai.onnx.Resize", make<ops::OnnxResize>},
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
      {"ai.onnx.Pad", make<ops::OnnxPad>},
      {"CenterCropPad", make<ops::CenterCropPad>},
      {"Trilu", make<ops::Trilu>},
      {"ReverseSequence", make<ops::ReverseSequence>},
      {"ScatterElements", make<ops::ScatterElements>},
      {"ScatterND", make<ops::ScatterND>},
      {"TensorScatter", make<ops::TensorScatter>},
      {"DepthToSpace", make<ops::DepthSpace>},
      {"SpaceToDepth", make<ops::DepthSpace>},
      {"Shape", make<ops::ShapeOf>},
      {"Size", make<ops::ShapeOf>},
      {"Cast", make<ops::Cast>},
      {"CastLike", make<ops::Cast>},
      {"Add", make<ops::Elementwise>},
      {"Sub", make<ops::Elementwise>},
      {"Mul", make<ops::Elementwise>},
      {"Div", make<ops::Elementwise>},
      {"Mod", make<ops::Elementwise>},
      {"Pow", make<ops::Elementwise>},
      {"PRelu", make<ops::Elementwise>},
      {"Equal", make<ops::Elementwise>},
      {"Greater", make<ops::Elementwise>},
      {"Less", make<ops::Elementwise>},
      {"GreaterOrEqual", make<ops::Elementwise>},
      {"LessOrEqual", make<ops::Elementwise>},
      {"And", make<ops::Elementwise>},
      {"Or", make<ops::Elementwise>},
      {"Xor", make<ops::Elementwise>},
      {"BitwiseAnd", make<ops::Elementwise>},
      {"BitwiseOr", make<ops::Elementwise>},
      {"BitwiseXor", make<ops::Elementwise>},
      {"BitShift", make<ops::Elementwise>},
      {"Sum", make<ops::Variadic>},
      {"Mean", make<ops::Variadic>},
      {"Max", make<ops::Variadic>},
      {"Min", make<ops::Variadic>},
      {"Not", make<ops::Unary>},
      {"BitwiseNot", make<ops::Unary>},
      {"IsNaN", make<ops::Unary>},
      {"IsInf", make<ops::Unary>},
      {"Neg", make<ops::Unary>},
      {"Abs", make<ops::Unary>},
      {"Sign", make<ops::Unary>},
      {"Relu", make<ops::Unary>},
      {"Clip", make<ops::Clip>},
      {"Dropout", make<ops::Dropout>},
      {"Exp", make<ops::FloatFunction>},
      {"Log", make<ops::FloatFunction>},
      {"Sqrt", make<ops::FloatFunction>},
      {"Reciprocal", make<ops::FloatFunction>},
      {"Sin", make<ops::FloatFunction>},
      {"Cos", make<ops::FloatFunction>},
      {"Tan", make<ops::FloatFunction>},
      {"Sinh", make<ops::FloatFunction>},
      {"Cosh", make<ops::FloatFunction>},
      {"Asin", make<ops::FloatFunction>},
      {"Acos", make<ops::FloatFunction>},
      {"Atan", make<ops::FloatFunction>},
      {"Asinh", make<ops::FloatFunction>},
      {"Acosh", make<ops::FloatFunction>},
      {"Atanh", make<ops::FloatFunction>},
      {"Tanh", make<ops::FloatFunction>},
      {"Erf", make<ops::FloatFunction>},
      {"Sigmoid", make<ops::FloatFunction>},
      {"Softplus", make<ops::FloatFunction>},
      {"Softsign", make<ops::FloatFunction>},
      {"Elu", make<ops::FloatFunction>},
      {"Selu", make<ops::FloatFunction>},
      {"Celu", make<ops::FloatFunction>},
      {"LeakyRelu", make<ops::FloatFunction>},
      {"ThresholdedRelu", make<ops::FloatFunction>},
      {"HardSigmoid", make<ops::FloatFunction>},
      {"HardSwish", make<ops::FloatFunction>},
      {"Mish", make<ops::FloatFunction>},
      {"Gelu", make<ops::FloatFunction>},
      {"Swish", make<ops::FloatFunction>},
      {"Shrink", make<ops::FloatFunction>},
      {"Ceil", make<ops::FloatFunction>},
      {"Floor", make<ops::FloatFunction>},
      {"Round", make<ops::FloatFunction>},
      {"ArgMax", make<ops::ArgExtreme>},
      {"ArgMin", make<ops::ArgExtreme>},
      {"CumSum", make<ops::CumSum>},
      {"CumProd", make<ops::CumSum>},
      {"DFT", make<ops::Fourier>},
      {"STFT", make<ops::Fourier>},
      {"MelWeightMatrix", make<ops::MelWeightMatrix>},
      {"BitCast", make<ops::BitCast>},
      {"Where", make<ops::Where>},
      {"If", make<ops::If>},
      {"Loop", make<ops::Loop>},
      {"Scan", make<ops::Scan>},
      {"NonZero", make<ops::NonZero>},
      {"Range", make<ops::Range>},
      {"TopK", make<ops::TopK>},
      {"OneHot", make<ops::OneHot>},
      {"EyeLike", make<ops::EyeLike>},
      {"Unique", make<ops::Unique>},
      {"Compress", make<ops::Compress>},
      {"GridSample", make<ops::GridSample>},
      {"AffineGrid", make<ops::AffineGrid>},
      {"RoiAlign", make<ops::RoiAlign>},
      {"NonMaxSuppression", make<ops::NonMaxSuppression>},
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
