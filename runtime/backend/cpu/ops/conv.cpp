// Conv and ConvTranspose over one or two spatial axes, channels last, uint8 x int8.
#include <algorithm>
#include <cstring>
#include <utility>

#include "backend/cpu/ops/weights.h"

namespace qgraph {
namespace {

constexpr int64_t kBlock = 1 << 12;                              // accumulators of a depthwise block
constexpr int64_t kAccumulators = kTileRows * kTileColumns * 4;  // bytes
constexpr int64_t kBeyond = 32;                                  // bytes that the copy of a short line may write too many

struct Geometry {
  int64_t kernel[2] = {1, 1}, stride[2] = {1, 1}, dilation[2] = {1, 1}, begin[2] = {0, 0}, end[2] = {0, 0};
};

class ConvBase : public Op {
 public:
  // Inputs: x [n, size..., c], weights, multiplier [o], bias int32 [o], and for Conv a residual like the output.
  explicit ConvBase(const OpSource& s, bool transposed) : Op(s.info), epilogue_(output_epilogue(s)), transposed_(transposed) {
    const WeightCodes codes = read_codes(s, 1);
    const TensorInfo& w = codes.info;
    require(w.shape.size() == 3 || w.shape.size() == 4, "the weights must have 3 or 4 dims");
    spatial_ = static_cast<int>(w.shape.size()) - 2;
    group_ = s.attributes.integer("group", 1, 1, 1 << 24);
    x_zero_ = static_cast<int32_t>(s.attributes.integer("x_zero", 0, 0, 255));
    for (int64_t d : w.shape) require(d >= 1, "the weights are empty");
    inputs_ = transposed ? w.shape[0] : w.shape.back() * group_;
    outputs_ = transposed ? w.shape.back() * group_ : w.shape[0];
    require(inputs_ % group_ == 0 && outputs_ % group_ == 0, "the groups do not divide the channels");
    // one axis is two with the first of length 1
    const auto strides = s.attributes.integers("strides"), dilations = s.attributes.integers("dilations"),
               pads = s.attributes.integers("pads");
    const size_t n = static_cast<size_t>(spatial_);
    require(strides.size() == n && dilations.size() == n && pads.size() == 2 * n, "bad strides, dilations or pads");
    for (size_t i = 0; i < n; ++i) {
      const size_t axis = i + 2 - n;
      g_.kernel[axis] = w.shape[i + 1];
      g_.stride[axis] = strides[i];
      g_.dilation[axis] = dilations[i];
      g_.begin[axis] = pads[i];
      g_.end[axis] = pads[i + n];
      const int64_t limit = 1 << 20;
      require(strides[i] >= 1 && strides[i] < limit && dilations[i] >= 1 && dilations[i] < limit && pads[i] >= -limit &&
                  pads[i] < limit && pads[i + n] >= -limit && pads[i + n] < limit && g_.kernel[axis] < limit,
              "bad strides, dilations or pads");
    }
    taps_ = g_.kernel[0] * g_.kernel[1];
    epilogue_.multiplier = reinterpret_cast<const float*>(s.constant(2, DType::F32, outputs_).data);
    if (s.has(3)) epilogue_.bias = reinterpret_cast<const int32_t*>(s.constant(3, DType::I32, outputs_).data);
    const int64_t count = elements(w.shape);
    codes_.resize(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) codes_[static_cast<size_t>(i)] = codes.at(i);
  }

  int packed_input() const override { return 1; }
  int64_t macs(const Context&) const override {
    const int64_t places = batch_ * (transposed_ ? size_[0] * size_[1] : pixels_);
    return places * taps_ * inputs_ / group_ * outputs_;
  }

 protected:
  void take_input(Context& c) {
    const Tensor& x = in(c, 0, {DType::U8});
    require(x.rank() == spatial_ + 2 && x.shape.back() == inputs_, "the input does not fit the weights");
    batch_ = x.shape[0];
    size_[0] = spatial_ == 2 ? x.shape[1] : 1;
    size_[1] = x.shape[x.shape.size() - 2];
  }
  void set_output(Context& c) {
    for (int64_t d : out_) require(d >= 0 && d < (int64_t{1} << 31), "the output would be empty or too large");
    Shape shape{batch_, out_[0], out_[1], outputs_};
    if (spatial_ == 1) shape.erase(shape.begin() + 1);
    out(c).shape = shape;
    pixels_ = out_[0] * out_[1];
  }
  uint8_t* output_at(const Context& c, int64_t pixel, int64_t channel) const {
    return c.out[0]->as<uint8_t>() + static_cast<size_t>(pixel * outputs_ + channel) * byte_size(epilogue_.type);
  }

  Epilogue epilogue_;
  bool transposed_;
  Geometry g_;
  int spatial_ = 2;
  int64_t group_ = 1, inputs_ = 0, outputs_ = 0, taps_ = 1, batch_ = 0;
  int64_t size_[2] = {1, 1}, out_[2] = {1, 1}, pixels_ = 0;
  int32_t x_zero_ = 0;
  std::vector<int8_t> codes_;
};

// Weights [o, kernel..., c / group]. A tile of output pixels is a matrix of input patches. Kernels that take rows in pieces read
// a patch where it lies, if it is all on the input; the others are copied. A depthwise one gathers pointers to its taps instead.
class Conv : public ConvBase {
 public:
  explicit Conv(const OpSource& s) : ConvBase(s, false), residual_(read_residual(s, 4, epilogue_)) {
    per_ = inputs_ / group_;
    n_ = outputs_ / group_;
    epilogue_.bounded = is_bounded(epilogue_, outputs_);
    line_ = g_.kernel[1] * per_;
    in_place_ = s.kernels.pieces && group_ == 1 && (taps_ > 1 || g_.stride[0] > 1 || g_.stride[1] > 1) &&
                (g_.kernel[1] == 1 || g_.dilation[1] == 1) && can_fuse(PackedWeights{}, epilogue_, residual_);
    piece_ = in_place_ ? round_up(line_, kDepth) : line_;
    patch_ = round_up(g_.kernel[0] * piece_, kDepth);
    for (int i = 0; i < 2; ++i) reach_[i] = g_.dilation[i] * (g_.kernel[i] - 1) + 1;
    depthwise_ = per_ == 1 && n_ == 1;
    if (depthwise_)
      pack_depthwise(s.kernels);
    else
      pack(s.kernels);
    codes_.clear();
    codes_.shrink_to_fit();
    std::vector<int32_t> sums;  // without the padding of each group
    for (int64_t g = 0; g < group_; ++g)
      for (int64_t i = 0; i < n_; ++i)
        sums.push_back(depthwise_ ? sums_[static_cast<size_t>(g)] : parts_[static_cast<size_t>(g)].column_sums[i]);
    shift_ = fold_zero_point(epilogue_, sums.data(), outputs_, x_zero_);
    folded_ = epilogue_;
    if (fold_ == 1) return;
    for (int64_t i = 0; i < fold_ * outputs_; ++i) {
      folded_bias_.push_back(epilogue_.bias[i % outputs_]);
      folded_multiplier_.push_back(epilogue_.multiplier[i % outputs_]);
    }
    folded_.bias = folded_bias_.data();
    folded_.multiplier = folded_multiplier_.data();
  }

  void infer(Context& c) override {
    take_input(c);
    for (int i = 0; i < 2; ++i) {
      const int64_t room = size_[i] + g_.begin[i] + g_.end[i] - reach_[i];
      require(room >= 0 || size_[i] == 0, "the input is smaller than the kernel");
      out_[i] = room < 0 ? 0 : room / g_.stride[i] + 1;
    }
    set_output(c);
    if (residual_)
      require(in(c, 4, {DType::U8, DType::I16}).shape == c.out[0]->shape, "the residual must have the output's shape");
    direct_ = taps_ == 1 && g_.stride[0] == 1 && g_.stride[1] == 1 && out_[0] == size_[0] && out_[1] == size_[1];
  }

  size_t scratch(const Context& c) const override {
    if (depthwise_)
      return static_cast<size_t>(round_up(count_, 2) * 8 + 64 + round_up(inputs_, 64) +
                                 (fused(c) ? 0 : round_up(block(c) * outputs_ * 4, 64)));
    const int64_t pointers = kTileRows * static_cast<int64_t>(sizeof(void*));
    return static_cast<size_t>((direct_ ? 0 : patches_bytes() + pointers) + kAccumulators + 64);
  }

  void run(Context& c) override {
    const int64_t total = batch_ * pixels_;
    if (total == 0) return;
    if (depthwise_) {
      const int64_t some = block(c);
      c.pool->parallel((total + some - 1) / some, 1, [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) depthwise(c, i * some, std::min(total, (i + 1) * some), worker);
      });
      return;
    }
    const auto [rows, chunks] = split(c, total);
    const int64_t tiles = (total + rows - 1) / rows, width = round_up((n_ + chunks - 1) / chunks, kTileColumns);
    // neighbouring tasks share their weights where these are many, else their pixels
    const int64_t parts = group_ * chunks;
    std::vector<int64_t> held(static_cast<size_t>(c.pool->size()), -1);  // the patches that each worker has
    c.pool->parallel(tiles * parts, 1, [&, rows = rows, chunks = chunks](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t part = chunks > 1 ? i / tiles : i % parts, row = (chunks > 1 ? i % tiles : i / parts) * rows;
        const int64_t column = part % chunks * width, patches = part / chunks * tiles + row / rows;
        const bool known = std::exchange(held[static_cast<size_t>(worker)], patches) == patches;
        tile(c, row, std::min(rows, total - row), part / chunks, column, std::min(n_, column + width), known, worker);
      }
    });
  }

 private:
  struct Split {
    int64_t rows, chunks;  // pixels of a tile, and parts of its output channels
  };
  // Tiles of even size; where they are few for so many threads, the output channels are split too. A thread gets one part of the
  // channels, where they are even, since the kernels fetch the weights ahead that follow in memory.
  Split split(const Context& c, int64_t total) const {
    const int64_t threads = c.pool->size(), step = c.kernels->row_step, most = kTileRows / step * step;
    const int64_t even = (total + most - 1) / most, rows = round_up((total + even - 1) / even, step);
    const int64_t tasks = (total + rows - 1) / rows * group_, columns = (n_ + kTileColumns - 1) / kTileColumns;
    if (threads == 1 || tasks >= 4 * threads) return {rows, 1};
    const int64_t wanted = tasks == 1 && columns % threads == 0 ? threads : (4 * threads + tasks - 1) / tasks;
    return {rows, std::min(wanted, columns)};
  }

  void pack(const Kernels& kernels) {
    const int64_t lines = n_ * group_ * g_.kernel[0], depth = g_.kernel[0] * piece_;
    const size_t part = static_cast<size_t>(packed_bytes(n_, depth)), sums = static_cast<size_t>(round_up(n_, kPanel));
    packed_.resize(part * static_cast<size_t>(group_));
    sums_.resize(sums * static_cast<size_t>(group_));
    if (piece_ > line_) {  // zeros for what follows the lines
      std::vector<int8_t> padded(static_cast<size_t>(lines * piece_));
      for (int64_t i = 0; i < lines; ++i) std::copy_n(codes_.begin() + i * line_, line_, padded.begin() + i * piece_);
      codes_.swap(padded);
    }
    for (int64_t g = 0; g < group_; ++g) {
      int8_t* data = packed_.data() + static_cast<size_t>(g) * part;
      int32_t* sum = sums_.data() + static_cast<size_t>(g) * sums;
      kernels.pack(reinterpret_cast<const uint8_t*>(codes_.data()) + g * n_ * depth, n_, depth, depth, 1, false, data, sum);
      parts_.push_back({data, sum, n_, depth});
    }
  }

  void pack_depthwise(const Kernels& kernels) {
    // few channels: neighbouring pixels fill up a vector, where their taps are neighbours too
    const bool neighbours = g_.stride[1] == 1 && outputs_ < kQuadGroup && kQuadGroup % outputs_ == 0;
    fold_ = kernels.quads && neighbours ? kQuadGroup / outputs_ : 1;
    columns_ = kernels.quads && g_.kernel[0] == 3 && g_.kernel[1] == 3;
    count_ = columns_ ? 12 : taps_;
    const int64_t channels = outputs_ * fold_;
    const int64_t elements = kernels.quads ? quad_elements(channels, count_) : depthwise_elements(channels, taps_);
    const size_t bytes = static_cast<size_t>(elements) * (kernels.quads ? 1 : 2);
    int8_t* to = packed_.resize(bytes);
    std::memset(to, 0, bytes);
    sums_.assign(static_cast<size_t>(outputs_), 0);
    for (int64_t ch = 0; ch < channels; ++ch)
      for (int64_t t = 0; t < taps_; ++t) {
        const int8_t code = codes_[static_cast<size_t>(ch % outputs_ * taps_ + t)];
        if (kernels.quads)
          to[quad_index(ch, place(t), count_)] = code;
        else
          reinterpret_cast<int16_t*>(to)[depthwise_index(ch, t, taps_)] = code;
        if (ch < outputs_) sums_[static_cast<size_t>(ch)] += code;
      }
  }

  /// Where a tap's pointer and weight are: columns of a window of 3 x 3 have four places each.
  int64_t place(int64_t tap) const { return columns_ ? tap % 3 * 4 + tap / 3 : tap; }

  bool fused(const Context& c) const {
    return c.kernels->fused_depthwise != nullptr && epilogue_.type == DType::U8 && !residual_ && epilogue_.bounded;
  }
  /// Output pixels of a task: a line, or as many as leave their accumulators in L1.
  int64_t block(const Context& c) const { return fused(c) ? out_[1] : std::max<int64_t>(1, kBlock / outputs_); }

  /// Walks over output pixels, counted over all images: the first input place of each. Divisions only at the start.
  struct Walk {
    Walk(const Conv& op, const Context& c, int64_t pixel)
        : conv(op),
          row(pixel % op.pixels_ / op.out_[1]),
          column(pixel % op.pixels_ % op.out_[1]),
          image(c.in[0]->as<uint8_t>() + pixel / op.pixels_ * op.image_bytes()) {
      place();
    }
    /// On by `pixels` of one line.
    void next(int64_t pixels = 1) {
      x += pixels * conv.g_.stride[1];
      column += pixels;
      if (column < conv.out_[1]) return;
      column = 0;
      if (++row == conv.out_[0]) {
        row = 0;
        image += conv.image_bytes();
      }
      place();
    }
    /// Whether every tap lies on the input.
    bool inside() const { return y >= 0 && x >= 0 && y + conv.reach_[0] <= conv.size_[0] && x + conv.reach_[1] <= conv.size_[1]; }
    const Conv& conv;
    int64_t row, column, y = 0, x = 0;
    const uint8_t* image;

   private:
    void place() {
      y = row * conv.g_.stride[0] - conv.g_.begin[0];
      x = column * conv.g_.stride[1] - conv.g_.begin[1];
    }
  };
  /// Bytes from a line of a patch to the next, where it lies.
  int64_t step() const { return g_.kernel[0] == 1 ? kTileRows * piece_ : g_.dilation[0] * size_[1] * inputs_; }
  /// Whether patches are read where they lie. Those that reach beyond the input have copies that are as far apart, so that their
  /// lines take turns.
  bool in_place() const { return in_place_ && step() >= piece_; }
  int64_t patches_bytes() const {
    if (!in_place()) return round_up(kTileRows * patch_ + kBeyond, 64);
    const int64_t together = step() / piece_;
    return round_up((kTileRows + together - 1) / together * g_.kernel[0] * step(), 64);
  }
  int64_t image_bytes() const { return size_[0] * size_[1] * inputs_; }

  // One row of patches: [ky][kx][channel of the group], its lines `apart`. Where they are neighbours it may write up to kBeyond
  // bytes after it.
  void gather(const Walk& at, int64_t group, uint8_t* row, const uint8_t* end, int64_t apart) const {
    const int64_t kw = g_.kernel[1], line_bytes = line_;
    if (at.inside() && (kw == 1 || (group_ == 1 && g_.dilation[1] == 1))) {
      const uint8_t* from = at.image + (at.y * size_[1] + at.x) * inputs_ + group * per_;
      const int64_t step = this->step();
      const bool room = apart == line_ && end - from >= (g_.kernel[0] - 1) * step + kBeyond;
      if (line_bytes <= kBeyond / 2 && room) return lines<kBeyond / 2>(row, from, step);
      if (line_bytes <= kBeyond && room) return lines<kBeyond>(row, from, step);
      for (int64_t ky = 0; ky < g_.kernel[0]; ++ky)
        std::memcpy(row + ky * apart, from + ky * step, static_cast<size_t>(line_bytes));
      return;
    }
    // the taps of a line that lie on the input
    const int64_t d = g_.dilation[1], room = size_[1] - 1 - at.x;
    const int64_t first = std::min(kw, at.x >= 0 ? 0 : (-at.x + d - 1) / d);
    const int64_t last = room < 0 ? first : std::max(first, std::min(kw, room / d + 1));
    for (int64_t ky = 0; ky < g_.kernel[0]; ++ky, row += apart) {
      const int64_t y = at.y + ky * g_.dilation[0];
      if (y < 0 || y >= size_[0]) {
        std::memset(row, x_zero_, static_cast<size_t>(line_bytes));
        continue;
      }
      if (first > 0) std::memset(row, x_zero_, static_cast<size_t>(first * per_));
      if (last < kw) std::memset(row + last * per_, x_zero_, static_cast<size_t>((kw - last) * per_));
      const uint8_t* from = at.image + (y * size_[1] + at.x) * inputs_ + group * per_;
      if (group_ == 1 && d == 1) {
        if (last > first) std::memcpy(row + first * per_, from + first * per_, static_cast<size_t>((last - first) * per_));
      } else {
        for (int64_t kx = first; kx < last; ++kx)
          std::memcpy(row + kx * per_, from + kx * d * inputs_, static_cast<size_t>(per_));
      }
    }
  }

  /// The few bytes of a line with what follows them, which the next line overwrites.
  template <int kBytes>
  void lines(uint8_t* row, const uint8_t* from, int64_t step) const {
    for (int64_t ky = 0; ky < g_.kernel[0]; ++ky, row += line_, from += step) std::memcpy(row, from, kBytes);
  }

  // Patches one after another.
  Rows copies(const Context& c, int64_t pixel, int64_t rows, int64_t group, uint8_t* patches, bool known) const {
    Walk walk(*this, c, pixel);
    const uint8_t* end = c.in[0]->as<uint8_t>() + batch_ * image_bytes();
    for (int64_t r = 0; r < rows && !known; ++r, walk.next()) gather(walk, group, patches + r * patch_, end, piece_);
    return {patches, patch_};
  }

  // Where patches lie.
  Rows places(const Context& c, int64_t pixel, int64_t rows, uint8_t* patches, bool known) const {
    auto** at = reinterpret_cast<const uint8_t**>(patches + patches_bytes());
    const int64_t step = this->step(), reach = (g_.kernel[0] - 1) * step + piece_;
    const uint8_t* end = c.in[0]->as<uint8_t>() + batch_ * image_bytes();
    Walk walk(*this, c, pixel);
    for (int64_t r = 0, room = step; r < rows && !known; ++r, walk.next()) {
      if (walk.inside()) {
        at[r] = walk.image + (walk.y * size_[1] + walk.x) * inputs_;
        if (end - at[r] >= reach) continue;
      }
      if (room < piece_) {
        patches += g_.kernel[0] * step;
        room = step;
      }
      uint8_t* copy = patches + step - room;
      gather(walk, 0, copy, end, step);
      at[r] = copy;
      room -= piece_;
    }
    return {nullptr, 0, at, piece_, step};
  }

  // `known` says that the worker has these pixels' patches.
  void tile(const Context& c, int64_t pixel, int64_t rows, int64_t group, int64_t begin, int64_t end, bool known,
            int worker) const {
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    Rows a{c.in[0]->as<uint8_t>() + pixel * inputs_ + group * per_, inputs_};
    if (!direct_) {
      uint8_t* patches = c.worker_scratch(worker) + kAccumulators;
      if (in_place())
        a = places(c, pixel, rows, patches, known);
      else
        a = copies(c, pixel, rows, group, patches, known);
    }
    PackedWeights w = parts_[static_cast<size_t>(group)];
    if (!direct_) w.k = patch_;  // the weights are padded with zeros, whatever follows a patch
    const int64_t channel = group * n_ + begin;
    const void* residual = residual_at(epilogue_, residual_ ? c.in[4]->data : nullptr, pixel * outputs_ + channel);
    product(*c.kernels, a, rows, w, begin, end - begin, part_of(epilogue_, 0, channel), output_at(c, pixel, channel), outputs_,
            residual, acc);
  }

  void depthwise(const Context& c, int64_t begin, int64_t end, int worker) const {
    uint8_t* s = c.worker_scratch(worker);
    auto** taps = reinterpret_cast<const uint8_t**>(s);
    uint8_t* nothing = s + round_up(round_up(count_, 2) * 8, 64);  // what padding looks like
    auto* acc = reinterpret_cast<int32_t*>(nothing + round_up(inputs_, 64));
    std::memset(nothing, x_zero_, static_cast<size_t>(inputs_));
    taps[round_up(count_, 2) - 1] = nothing;
    const int64_t step = g_.stride[1] * inputs_;
    const bool fused = this->fused(c);
    Walk at(*this, c, begin);
    for (int64_t pixel = begin; pixel < end;) {
      int64_t t = 0;
      for (int64_t ky = 0; ky < g_.kernel[0]; ++ky) {
        const int64_t y = at.y + ky * g_.dilation[0];
        for (int64_t kx = 0; kx < g_.kernel[1]; ++kx, ++t) {
          const int64_t x = at.x + kx * g_.dilation[1];
          const bool there = y >= 0 && y < size_[0] && x >= 0 && x < size_[1];
          taps[place(t)] = there ? at.image + (y * size_[1] + x) * inputs_ : nothing;
        }
      }
      if (columns_)
        for (int64_t i = 3; i < count_; i += 4) taps[i] = taps[i - 1];
      // pixels of one line whose taps all lie on the input
      const int64_t room = at.inside() ? (size_[1] - reach_[1] - at.x) / g_.stride[1] + 1 : 1;
      const int64_t run = std::min({room, out_[1] - at.column, end - pixel});
      const int64_t whole = fold_ > 1 ? run / fold_ : 0, done = whole * fold_;  // those that fill up a vector first
      auto sums = [&](int64_t channels, int64_t n, int64_t apart, const Epilogue& e, int64_t first) {
        const int64_t column = g_.dilation[1] * inputs_;
        const int slide = columns_ && (apart == column || apart == 2 * column) ? static_cast<int>(apart / column) : 0;
        if (fused)
          c.kernels->fused_depthwise(taps, count_, packed_.data(), channels, n, apart, slide, e, output_at(c, first, 0));
        else
          c.kernels->depthwise(taps, count_, packed_.data(), channels, n, apart, slide, acc + (first - begin) * outputs_);
      };
      if (whole > 0) {
        sums(fold_ * outputs_, whole, fold_ * step, folded_, pixel);
        for (int64_t i = 0; i < count_; ++i) taps[i] += done * step;
      }
      if (run > done) sums(outputs_, run - done, step, epilogue_, pixel + done);
      at.next(run);
      pixel += run;
    }
    if (fused) return;
    const void* residual = residual_at(epilogue_, residual_ ? c.in[4]->data : nullptr, begin * outputs_);
    c.kernels->finish(epilogue_, acc, outputs_, end - begin, outputs_, output_at(c, begin, 0), outputs_, residual);
  }

  bool residual_;
  int64_t per_ = 1, n_ = 1, patch_ = 0, fold_ = 1, reach_[2] = {1, 1};
  int64_t count_ = 0;
  int64_t line_ = 0, piece_ = 0;  // bytes of a patch that are neighbours, and what is read of them
  bool depthwise_ = false, direct_ = false, columns_ = false;
  bool in_place_ = false;  // the kernels read patches where they lie
  AlignedBytes packed_;
  std::vector<int32_t> sums_, shift_, folded_bias_;
  std::vector<float> folded_multiplier_;
  Epilogue folded_;  // of fold_ pixels
  std::vector<PackedWeights> parts_;
};

// Weights [c, kernel..., o / group]; each input pixel spreads into the outputs under the kernel.
class ConvTranspose : public ConvBase {
 public:
  explicit ConvTranspose(const OpSource& s) : ConvBase(s, true) {
    const auto extra = s.attributes.integers("output_padding");
    for (size_t i = 0; i < extra.size() && i < static_cast<size_t>(spatial_); ++i)
      extra_[i + 2 - static_cast<size_t>(spatial_)] = extra[i];
  }

  void infer(Context& c) override {
    take_input(c);
    for (int i = 0; i < 2; ++i) {
      require(extra_[i] >= 0 && extra_[i] < (1 << 20), "bad output padding");
      out_[i] = size_[i] == 0 ? 0
                              : g_.stride[i] * (size_[i] - 1) + extra_[i] + g_.dilation[i] * (g_.kernel[i] - 1) + 1 -
                                    g_.begin[i] - g_.end[i];
    }
    set_output(c);
  }
  size_t scratch(const Context&) const override { return static_cast<size_t>(round_up(out_[1] * outputs_ * 4, 64)); }

  void run(Context& c) override {
    if (pixels_ == 0) return;
    c.pool->parallel(batch_ * out_[0], 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) line(c, i / out_[0], i % out_[0], worker);
    });
  }

 private:
  // One line of output pixels: the input lines that reach it, tap by tap.
  void line(const Context& c, int64_t image, int64_t oy, int worker) const {
    auto* acc = reinterpret_cast<int32_t*>(c.worker_scratch(worker));
    const int64_t per = inputs_ / group_, n = outputs_ / group_;
    std::fill(acc, acc + out_[1] * outputs_, 0);
    for (int64_t ky = 0; ky < g_.kernel[0]; ++ky) {
      const int64_t from = oy + g_.begin[0] - ky * g_.dilation[0];
      if (from < 0 || from % g_.stride[0] != 0 || from / g_.stride[0] >= size_[0]) continue;
      const uint8_t* row = c.in[0]->as<uint8_t>() + (image * size_[0] + from / g_.stride[0]) * size_[1] * inputs_;
      for (int64_t ix = 0; ix < size_[1]; ++ix)
        for (int64_t kx = 0; kx < g_.kernel[1]; ++kx) {
          const int64_t ox = ix * g_.stride[1] - g_.begin[1] + kx * g_.dilation[1];
          if (ox < 0 || ox >= out_[1]) continue;
          for (int64_t i = 0; i < inputs_; ++i) {
            const int32_t x = row[ix * inputs_ + i] - x_zero_;
            const int8_t* w = codes_.data() + (i * taps_ + ky * g_.kernel[1] + kx) * n;
            int32_t* to = acc + ox * outputs_ + i / per * n;
            for (int64_t o = 0; o < n; ++o) to[o] += x * w[o];
          }
        }
    }
    const int64_t pixel = (image * out_[0] + oy) * out_[1];
    c.kernels->finish(epilogue_, acc, outputs_, out_[1], outputs_, output_at(c, pixel, 0), outputs_, nullptr);
  }

  int64_t extra_[2] = {0, 0};
};

}  // namespace

void add_conv_ops(OpTable& table) {
  table.push_back(entry<Conv>("Conv"));
  table.push_back(entry<ConvTranspose>("ConvTranspose"));
}

}  // namespace qgraph
