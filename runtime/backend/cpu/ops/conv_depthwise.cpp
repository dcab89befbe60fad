#include <algorithm>
#include <cstring>

#include "backend/cpu/ops/conv.h"
#include "backend/cpu/ops/epilogue.h"
#include "backend/cpu/ops/weights.h"

namespace qgraph::cpu {
namespace {

constexpr int64_t kBlock = 1 << 12;  // accumulators of a block

class DepthwiseConvKernel : public CpuKernel {
 public:
  DepthwiseConvKernel(const ops::Conv& op, const OpSource& s, const Workspace& workspace)
      : CpuKernel(workspace), op_(op), epilogue_(conv_epilogue(op)) {
    set_residual(epilogue_, op.residual);
    epilogue_.bounded = is_bounded(epilogue_, op.outputs);
    fused_ =
        workspace.kernels.fused_depthwise != nullptr && epilogue_.type == DType::U8 && !op.residual.given && epilogue_.bounded;
    const std::vector<int32_t> sums = pack(unpack_codes(read_codes(s, 1)), workspace.kernels.vnni4_layout);
    folded_bias_ = fold_zero_point(epilogue_, sums.data(), op.outputs, op.x_zero);
    repeat_parameters();
  }

  bool reads(size_t input) const override { return input != 1; }
  size_t prepare(const Values&) override {
    return static_cast<size_t>(round_up(count_, 2) * 8 + 64 + round_up(op_.inputs, 64) +
                               (fused_ ? 0 : round_up(block() * op_.outputs * 4, 64)));
  }

  void compute(const Context& c) override {
    const int64_t total = op_.batch * op_.pixels, some = block();
    if (total == 0) return;
    c.pool->parallel((total + some - 1) / some, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) pixels(c, i * some, std::min(total, (i + 1) * some), worker);
    });
  }

 private:
  // Returns the sums of each channel's weights.
  std::vector<int32_t> pack(const std::vector<int8_t>& codes, bool vnni4) {
    const int64_t taps = op_.window.taps();
    // few channels: neighbouring pixels fill up a vector, where their taps are neighbours too
    const bool neighbours = op_.window.stride[1] == 1 && op_.outputs < kVnni4Channels && kVnni4Channels % op_.outputs == 0;
    repeats_ = vnni4 && neighbours ? kVnni4Channels / op_.outputs : 1;
    by_columns_ = vnni4 && op_.window.kernel[0] == 3 && op_.window.kernel[1] == 3;
    count_ = by_columns_ ? 12 : taps;
    const int64_t channels = op_.outputs * repeats_;
    const int64_t elements = vnni4 ? vnni4_elements(channels, count_) : depthwise_elements(channels, taps);
    const size_t bytes = static_cast<size_t>(elements) * (vnni4 ? 1 : 2);
    int8_t* to = packed_.resize(bytes);
    std::memset(to, 0, bytes);
    std::vector<int32_t> sums(static_cast<size_t>(op_.outputs));
    for (int64_t ch = 0; ch < channels; ++ch)
      for (int64_t t = 0; t < taps; ++t) {
        const int8_t code = codes[static_cast<size_t>(ch % op_.outputs * taps + t)];
        if (vnni4)
          to[vnni4_index(ch, place(t), count_)] = code;
        else
          reinterpret_cast<int16_t*>(to)[depthwise_index(ch, t, taps)] = code;
        if (ch < op_.outputs) sums[static_cast<size_t>(ch)] += code;
      }
    return sums;
  }

  // An epilogue for as many pixels as fill up a vector.
  void repeat_parameters() {
    repeated_ = epilogue_;
    if (repeats_ == 1) return;
    for (int64_t i = 0; i < repeats_ * op_.outputs; ++i) {
      repeated_bias_.push_back(epilogue_.bias[i % op_.outputs]);
      repeated_multiplier_.push_back(epilogue_.multiplier[i % op_.outputs]);
    }
    repeated_.bias = repeated_bias_.data();
    repeated_.multiplier = repeated_multiplier_.data();
  }

  /// Where a tap's pointer and weight are: columns of a window of 3 x 3 have four places each.
  int64_t place(int64_t tap) const { return by_columns_ ? tap % 3 * 4 + tap / 3 : tap; }

  /// Output pixels of a task: a line, or as many as leave their accumulators in L1.
  int64_t block() const { return fused_ ? op_.out_size[1] : std::max<int64_t>(1, kBlock / op_.outputs); }

  uint8_t* output_at(const Context& c, int64_t pixel) const {
    return c.out[0]->as<uint8_t>() + static_cast<size_t>(pixel * op_.outputs) * byte_size(epilogue_.type);
  }

  void point_to_taps(const PixelWalk& at, const uint8_t* padding, const uint8_t** taps) const {
    const ops::Window& w = op_.window;
    int64_t t = 0;
    for (int64_t ky = 0; ky < w.kernel[0]; ++ky) {
      const int64_t y = at.y + ky * w.dilation[0];
      for (int64_t kx = 0; kx < w.kernel[1]; ++kx, ++t) {
        const int64_t x = at.x + kx * w.dilation[1];
        const bool inside = y >= 0 && y < op_.size[0] && x >= 0 && x < op_.size[1];
        taps[place(t)] = inside ? at.image + (y * op_.size[1] + x) * op_.inputs : padding;
      }
    }
    if (by_columns_)
      for (int64_t i = 3; i < count_; i += 4) taps[i] = taps[i - 1];
  }

  void pixels(const Context& c, int64_t begin, int64_t end, int worker) const {
    uint8_t* scratch = c.worker_scratch(worker);
    auto** taps = reinterpret_cast<const uint8_t**>(scratch);
    uint8_t* padding = scratch + round_up(round_up(count_, 2) * 8, 64);
    auto* acc = reinterpret_cast<int32_t*>(padding + round_up(op_.inputs, 64));
    std::memset(padding, op_.x_zero, static_cast<size_t>(op_.inputs));
    taps[round_up(count_, 2) - 1] = padding;
    const int64_t step = op_.window.stride[1] * op_.inputs, extent = op_.window.extent(1);
    PixelWalk at(op_, c.in[0]->as<uint8_t>(), begin);
    for (int64_t pixel = begin; pixel < end;) {
      point_to_taps(at, padding, taps);
      // pixels of one line whose taps all lie on the input
      const int64_t room = at.inside() ? (op_.size[1] - extent - at.x) / op_.window.stride[1] + 1 : 1;
      const int64_t run = std::min({room, op_.out_size[1] - at.column, end - pixel});
      const int64_t whole = repeats_ > 1 ? run / repeats_ : 0, done = whole * repeats_;  // those that fill up a vector first
      const auto sums = [&](int64_t channels, int64_t n, int64_t apart, const Epilogue& e, int64_t first) {
        const int64_t column = op_.window.dilation[1] * op_.inputs;
        const int reuse = by_columns_ && (apart == column || apart == 2 * column) ? static_cast<int>(apart / column) : 0;
        if (fused_)
          c.kernels->fused_depthwise(taps, count_, packed_.data(), channels, n, apart, reuse, e, output_at(c, first));
        else
          c.kernels->depthwise(taps, count_, packed_.data(), channels, n, apart, reuse, acc + (first - begin) * op_.outputs);
      };
      if (whole > 0) {
        sums(repeats_ * op_.outputs, whole, repeats_ * step, repeated_, pixel);
        for (int64_t i = 0; i < count_; ++i) taps[i] += done * step;
      }
      if (run > done) sums(op_.outputs, run - done, step, epilogue_, pixel + done);
      at.next(run);
      pixel += run;
    }
    if (fused_) return;
    const void* residual = residual_at(epilogue_, op_.residual.given ? c.in[4]->data : nullptr, begin * op_.outputs);
    c.kernels->finish(epilogue_, acc, op_.outputs, end - begin, op_.outputs, output_at(c, begin), op_.outputs, residual);
  }

  const ops::Conv& op_;
  Epilogue epilogue_;
  bool fused_ = false;       // sums become bytes in registers
  bool by_columns_ = false;  // taps of a 3 x 3 window, column by column, of which neighbouring pixels share some
  int64_t repeats_ = 1;      // pixels that fill up a vector
  int64_t count_ = 0;        // taps, with those that fill up columns
  AlignedBytes packed_;
  std::vector<int32_t> folded_bias_, repeated_bias_;
  std::vector<float> repeated_multiplier_;
  Epilogue repeated_;  // of repeats_ pixels
};

bool supports(const ops::Conv& op, const Kernels&) { return op.inputs == op.groups && op.outputs == op.groups; }

}  // namespace

const ConvMethod kDepthwiseConv{supports, make<DepthwiseConvKernel, ops::Conv>};

}  // namespace qgraph::cpu
