// Attention: softmax(q k^T * scale + mask) v for each batch, head and block of query rows; scores never leave the cache.
#include <algorithm>

#include "ops/op.h"

namespace qgraph {
namespace {

class Attention : public Op {
 public:
  // Inputs: q, k, v (uint8), mask (float32, added to the scores; optional). Layout: [batch, heads, length, width], or
  // [batch, length, heads, width] with attribute token_major = 1.
  explicit Attention(const OpSource& s) : Op(s.info), epilogue_(output_epilogue(s)) {
    const Attributes& a = s.attributes;
    q_zero_ = static_cast<int32_t>(a.integer("q_zero", 0, 0, 255));
    k_zero_ = static_cast<int32_t>(a.integer("k_zero", 0, 0, 255));
    v_zero_ = static_cast<int32_t>(a.integer("v_zero", 0, 0, 255));
    scale_ = a.number("scale");
    multiplier_ = a.number("multiplier");
    token_major_ = a.integer("token_major", 0, 0, 1) != 0;
    epilogue_.multiplier_stride = 0;
  }

  void infer(Context& c) override {
    const Tensor &q = in(c, 0, {DType::U8}), &k = in(c, 1, {DType::U8}), &v = in(c, 2, {DType::U8});
    require(q.rank() == 4 && k.rank() == 4 && v.rank() == 4, "q, k and v need four dims");
    const size_t head = token_major_ ? 2 : 1, length = token_major_ ? 1 : 2;
    batch_ = q.shape[0];
    heads_ = q.shape[head];
    rows_ = q.shape[length];
    keys_ = k.shape[length];
    width_ = q.shape[3];
    v_width_ = v.shape[3];
    require(k.shape[0] == batch_ && v.shape[0] == batch_ && k.shape[head] == heads_ && v.shape[head] == heads_ &&
                v.shape[length] == keys_ && k.shape[3] == width_,
            "the shapes of q, k and v do not fit");
    require(width_ <= (1 << 16) && keys_ <= (1 << 16), "more than 65536 keys overflow the accumulator");
    Shape shape = q.shape;
    shape[3] = v_width_;
    out(c).shape = shape;
    if (given(c, 3)) {
      const Tensor& mask = in(c, 3, {DType::F32});
      const Shape full{batch_, heads_, rows_, keys_};
      require(mask.rank() <= 4 && broadcast(mask.shape, full, what_) == full, "the mask does not broadcast to the scores");
      Shape padded(4 - mask.shape.size(), 1);
      padded.insert(padded.end(), mask.shape.begin(), mask.shape.end());
      const auto strides = strides_of(padded);
      for (size_t i = 0; i < 4; ++i) mask_strides_[i] = padded[i] == 1 ? 0 : strides[i];
    }
  }

  size_t scratch(const Context&) const override { return static_cast<size_t>(layout().total); }

  int64_t macs(const Context&) const override { return batch_ * heads_ * rows_ * keys_ * (width_ + v_width_); }

  void run(Context& c) override {
    // one task: a head with all its query rows, so that keys and values are packed once
    c.pool->parallel(batch_ * heads_, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t i = begin; i < end; ++i) one(c, i / heads_, i % heads_, worker);
    });
  }

 private:
  struct Layout {
    int64_t k_pack, k_sums, v_pack, v_sums, acc, codes, shifts, p_sums, total;
  };

  Layout layout() const {
    Layout l{};
    int64_t at = 0;
    auto take = [&](int64_t bytes) {
      const int64_t here = at;
      at += round_up(bytes, 64);
      return here;
    };
    const int64_t wide = std::max(round_up(keys_, kPanel), round_up(v_width_, kPanel));
    l.k_pack = take(packed_bytes(keys_, width_));
    l.k_sums = take(round_up(keys_, kPanel) * 4);
    l.v_pack = take(packed_bytes(v_width_, keys_));
    l.v_sums = take(round_up(v_width_, kPanel) * 4);
    l.acc = take(kAttentionRows * wide * 4);
    l.codes = take(kAttentionRows * keys_);
    l.shifts = take(kAttentionRows * 4);
    l.p_sums = take(kAttentionRows * 4);
    l.total = at + 64;
    return l;
  }

  void one(const Context& c, int64_t batch, int64_t head, int worker) const {
    if (rows_ == 0 || v_width_ == 0) return;
    const Layout l = layout();
    uint8_t* s = c.worker_scratch(worker);
    auto ints = [&](int64_t at) { return reinterpret_cast<int32_t*>(s + at); };
    const int64_t stride = token_major_ ? heads_ * width_ : width_, v_stride = token_major_ ? heads_ * v_width_ : v_width_;
    auto start = [&](int64_t length, int64_t width) {
      return token_major_ ? (batch * length * heads_ + head) * width : (batch * heads_ + head) * length * width;
    };
    const uint8_t* q = c.in[0]->as<uint8_t>() + start(rows_, width_);
    const uint8_t* k = c.in[1]->as<uint8_t>() + start(keys_, width_);
    const uint8_t* v = c.in[2]->as<uint8_t>() + start(keys_, v_width_);
    c.kernels->pack(k, keys_, width_, stride, 1, true, reinterpret_cast<int8_t*>(s + l.k_pack), ints(l.k_sums));
    c.kernels->pack(v, v_width_, keys_, 1, v_stride, true, reinterpret_cast<int8_t*>(s + l.v_pack), ints(l.v_sums));
    int32_t* k_bias = ints(l.k_sums);
    for (int64_t i = 0; i < keys_; ++i) k_bias[i] *= -q_zero_;
    const PackedWeights wk{reinterpret_cast<int8_t*>(s + l.k_pack), ints(l.k_sums), keys_, width_};
    const PackedWeights wv{reinterpret_cast<int8_t*>(s + l.v_pack), ints(l.v_sums), v_width_, keys_};
    const float* mask = given(c, 3) ? c.in[3]->as<float>() + batch * mask_strides_[0] + head * mask_strides_[1] : nullptr;
    const int64_t ld = std::max(round_up(keys_, kPanel), round_up(v_width_, kPanel));
    int32_t *acc = ints(l.acc), *shifts = ints(l.shifts), *p_sums = ints(l.p_sums);
    uint8_t* codes = s + l.codes;
    Epilogue e = epilogue_;
    e.multiplier = &multiplier_;
    const size_t size = byte_size(e.type);
    for (int64_t row = 0; row < rows_; row += kAttentionRows) {
      const int64_t rows = std::min(kAttentionRows, rows_ - row);
      c.kernels->gemm(q + row * stride, stride, rows, wk, 0, keys_, acc, ld);
      // the zero points: sum (q - zq)(k - zk) = acc - zq * sum k' - zk' * sum q + n zq zk', with k' = k - 128
      for (int64_t r = 0; r < rows; ++r)
        shifts[r] =
            k_zero_ == 128
                ? 0
                : (k_zero_ - 128) * (static_cast<int32_t>(width_) * q_zero_ - c.kernels->sum(q + (row + r) * stride, width_));
      c.kernels->attention_rows(acc, ld, k_bias, shifts, rows, keys_, scale_,
                                mask == nullptr ? nullptr : mask + row * mask_strides_[2], mask_strides_[2], mask_strides_[3],
                                codes, p_sums);
      c.kernels->gemm(codes, keys_, rows, wv, 0, v_width_, acc, ld);
      c.kernels->correct(acc, ld, rows, v_width_, wv.column_sums, 0, p_sums, v_zero_ - 128, keys_);
      uint8_t* y = c.out[0]->as<uint8_t>() + static_cast<size_t>(start(rows_, v_width_) + row * v_stride) * size;
      c.kernels->finish(e, acc, ld, rows, v_width_, y, v_stride, nullptr);
    }
  }

  Epilogue epilogue_;
  int32_t q_zero_ = 0, k_zero_ = 0, v_zero_ = 0;
  float scale_ = 1, multiplier_ = 1;
  bool token_major_ = false;
  int64_t batch_ = 0, heads_ = 0, rows_ = 0, keys_ = 0, width_ = 0, v_width_ = 0;
  int64_t mask_strides_[4] = {0, 0, 0, 0};
};

}  // namespace

void add_attention_ops(OpTable& table) { table.push_back(entry<Attention>("Attention")); }

}  // namespace qgraph
