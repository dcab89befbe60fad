#include "tests/guarded_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "ops/linear.h"
#include "ops/movement.h"
#include "ops/pointwise.h"
#include "ops/shape.h"

namespace qgraph {

GuardedMemory::~GuardedMemory() {
  for (const auto& [data, bytes] : regions_) munmap(data, bytes);
}

void* GuardedMemory::allocate(size_t bytes) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  bytes = (std::max<size_t>(bytes, 1) + page - 1) / page * page;
  void* data = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw Error("out of memory");
  regions_[data] = bytes;
  return data;
}

void GuardedMemory::free(void* data) {
  munmap(data, regions_.at(data));
  regions_.erase(data);
}

void GuardedMemory::upload(void* device, const void* host, size_t bytes) {
  const Open open(*this);
  if (bytes != 0) std::memcpy(device, host, bytes);
  ++uploads;
}

void GuardedMemory::download(void* host, const void* device, size_t bytes) {
  const Open open(*this);
  if (bytes != 0) std::memcpy(host, device, bytes);
  ++downloads;
}

void GuardedMemory::protect(bool open) const {
  for (const auto& [data, bytes] : regions_) mprotect(data, bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

namespace {

// Copies of constants in the backend's memory.
class Constants {
 public:
  explicit Constants(GuardedMemory& memory) : memory_(memory) {}
  ~Constants() {
    for (void* copy : copies_) memory_.free(copy);
  }
  Constants(const Constants&) = delete;
  Constants& operator=(const Constants&) = delete;
  template <typename T>
  const T* copy(const T* from, int64_t n) {
    if (from == nullptr) return nullptr;
    copies_.push_back(memory_.allocate(static_cast<size_t>(n) * sizeof(T)));
    memory_.upload(copies_.back(), from, static_cast<size_t>(n) * sizeof(T));
    return static_cast<const T*>(copies_.back());
  }

 private:
  GuardedMemory& memory_;
  std::vector<void*> copies_;
};

void write(const OutputFormat& f, float t, const Tensor& y, int64_t i) {
  if (f.type == DType::F32) {
    y.as<float>()[i] = t;
    return;
  }
  const auto low = static_cast<float>(f.low), high = static_cast<float>(f.high);
  t = t > low ? t : low;
  t = t < high ? t : high;
  const int32_t code = static_cast<int32_t>(std::nearbyint(t)) + f.zero;
  if (f.type == DType::U8)
    y.as<uint8_t>()[i] = static_cast<uint8_t>(code);
  else
    y.as<int16_t>()[i] = static_cast<int16_t>(code);
}

float read(const Tensor& x, int64_t i, int32_t zero) {
  const int32_t code = x.type == DType::U8 ? x.as<uint8_t>()[i] : x.as<int16_t>()[i];
  return static_cast<float>(code) - static_cast<float>(zero);
}

class GuardedKernel : public Kernel {
 public:
  explicit GuardedKernel(GuardedMemory& memory) : constants(memory) {}
  size_t prepare(const Values& host) override {
    on_prepare(host);
    return 0;
  }
  void run(const Values& v) override { compute(v); }
  bool reads(size_t input) const override { return std::count(operands.begin(), operands.end(), input) > 0; }

  Constants constants;
  std::vector<size_t> operands{0};  // the inputs that are no copied constants
  std::function<void(const Values&)> compute, on_prepare = [](const Values&) {};
};

void quantize(const ops::Quantize& op, GuardedKernel& k) {
  k.compute = [&op](const Values& v) {
    for (int64_t i = 0; i < v.in[0]->size(); ++i) write(op.output, v.in[0]->as<float>()[i] / op.scale, *v.out[0], i);
  };
}

void dequantize(const ops::Dequantize& op, GuardedKernel& k) {
  k.compute = [&op](const Values& v) {
    for (int64_t i = 0; i < v.in[0]->size(); ++i) v.out[0]->as<float>()[i] = read(*v.in[0], i, op.x_zero) * op.scale;
  };
}

bool linear(const ops::Linear& op, const OpSource& source, GuardedKernel& k) {
  if (op.block != 0 || op.residual.given || op.float_bias != nullptr || source.has(4)) return false;
  const WeightCodes codes = read_codes(source, 1);
  std::vector<int8_t> weights;
  for (int64_t i = 0; i < op.n * op.k; ++i) weights.push_back(codes.at(i));
  const int8_t* w = k.constants.copy(weights.data(), op.n * op.k);
  const float* multiplier = k.constants.copy(op.multiplier, op.n);
  const int32_t* bias = k.constants.copy(op.bias, op.n);
  k.compute = [&op, w, multiplier, bias](const Values& v) {
    for (int64_t r = 0; r < op.rows; ++r)
      for (int64_t c = 0; c < op.n; ++c) {
        int32_t sum = bias == nullptr ? 0 : bias[c];
        for (int64_t i = 0; i < op.k; ++i) sum += (v.in[0]->as<uint8_t>()[r * op.k + i] - op.x_zero) * w[c * op.k + i];
        write(op.output, static_cast<float>(sum) * multiplier[c], *v.out[0], r * op.n + c);
      }
  };
  return true;
}

float combine(dialect::BinaryOp op, float a, float ma, float b, float mb) {
  switch (op) {
    case dialect::BinaryOp::Add:
      return a * ma + b * mb;
    case dialect::BinaryOp::Sub:
      return a * ma - b * mb;
    case dialect::BinaryOp::Mul:
      return (a * b) * ma;
    case dialect::BinaryOp::Div:
      return (a / b) * ma;
    case dialect::BinaryOp::Max:
      return a * ma > b * mb ? a * ma : b * mb;
    case dialect::BinaryOp::Min:
      break;
  }
  return a * ma < b * mb ? a * ma : b * mb;
}

void binary(const ops::Binary& op, GuardedKernel& k) {
  k.operands = {0, 1};
  k.compute = [&op](const Values& v) {
    const Shape& shape = v.out[0]->shape;
    const auto at = [&](const Tensor& x, int64_t i) {
      const Shape padded = padded_shape(x.shape, shape.size());
      const auto strides = strides_of(padded);
      int64_t offset = 0;
      for (size_t d = shape.size(); d-- > 0; i /= shape[d]) offset += padded[d] == 1 ? 0 : i % shape[d] * strides[d];
      return offset;
    };
    for (int64_t i = 0; i < v.out[0]->size(); ++i)
      write(op.output,
            combine(op.op, read(*v.in[0], at(*v.in[0], i), op.a_zero), op.a_multiplier,
                    read(*v.in[1], at(*v.in[1], i), op.b_zero), op.b_multiplier),
            *v.out[0], i);
  };
}

bool lookup(const ops::Lookup& op, GuardedKernel& k) {
  if (op.channels != 1) return false;
  const uint8_t* table = k.constants.copy(op.table, op.entries * static_cast<int64_t>(op.entry_bytes));
  k.compute = [&op, table](const Values& v) {
    for (int64_t i = 0; i < v.in[0]->size(); ++i) {
      const int64_t entry = v.in[0]->type == DType::U8 ? v.in[0]->as<uint8_t>()[i] : v.in[0]->as<int16_t>()[i] + 32768;
      std::memcpy(v.out[0]->as<uint8_t>() + static_cast<size_t>(i) * op.entry_bytes,
                  table + static_cast<size_t>(entry) * op.entry_bytes, op.entry_bytes);
    }
  };
  return true;
}

void strided_copy(const ops::StridedCopy& op, GuardedKernel& k) {
  k.compute = [&op](const Values& v) {
    const size_t size = byte_size(v.out[0]->type);
    for (int64_t i = 0; i < v.out[0]->size(); ++i) {
      int64_t from = op.base, rest = i;
      for (size_t d = op.copy_shape.size(); d-- > 0; rest /= op.copy_shape[d]) from += rest % op.copy_shape[d] * op.strides[d];
      std::memcpy(v.out[0]->as<uint8_t>() + static_cast<size_t>(i) * size,
                  v.in[0]->as<uint8_t>() + static_cast<size_t>(from) * size, size);
    }
  };
}

// What a kernel took from the host when it was prepared: a Slice's starts are known there, and are not read again.
void require_known(const Values& host, size_t input) {
  if (!host.in[input]->known) throw Error("an input is not known on the host");
}

}  // namespace

std::unique_ptr<Kernel> GuardedBackend::make_kernel(const Op& op, const OpSource& source) {
  if (kinds_.count(op.kind()) == 0) return nullptr;
  auto kernel = std::make_unique<GuardedKernel>(memory_);
  bool made = true;
  if (op.kind() == "Quantize") {
    quantize(static_cast<const ops::Quantize&>(op), *kernel);
  } else if (op.kind() == "Dequantize") {
    dequantize(static_cast<const ops::Dequantize&>(op), *kernel);
  } else if (op.kind() == "Linear") {
    made = linear(static_cast<const ops::Linear&>(op), source, *kernel);
  } else if (op.kind() == "Binary") {
    binary(static_cast<const ops::Binary&>(op), *kernel);
  } else if (op.kind() == "Lookup") {
    made = lookup(static_cast<const ops::Lookup&>(op), *kernel);
  } else if (op.kind() == "Transpose") {
    strided_copy(static_cast<const ops::Transpose&>(op), *kernel);
  } else if (op.kind() == "Slice") {
    strided_copy(static_cast<const ops::Slice&>(op), *kernel);
    kernel->on_prepare = [](const Values& host) { require_known(host, 1); };
  } else {
    made = false;
  }
  if (!made) return nullptr;
  return kernel;
}

void GuardedBackend::run(std::span<const Launch> step) {
  const GuardedMemory::Open open(memory_);
  for (const Launch& launch : step) launch.kernel->run(*launch.values);
  launches_ += static_cast<int>(step.size());
}

}  // namespace qgraph
