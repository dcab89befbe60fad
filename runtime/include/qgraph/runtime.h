// The C++ interface of the qgraph runtime: load a program, give it inputs, run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace qgraph {

enum class DType : int8_t { F32 = 0, I64 = 1, I32 = 2, I16 = 3, I8 = 4, U8 = 5, Bool = 6, I4 = 7, I2 = 8, U4 = 9, U2 = 10 };

/// Bits of one element.
constexpr int bits(DType type) {
  constexpr int table[] = {32, 64, 32, 16, 8, 8, 8, 4, 2, 4, 2};
  return table[static_cast<int>(type)];
}

const char* name(DType type);

/// An error that the caller can act on; `what()` is one sentence.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Shape = std::vector<int64_t>;

/// Number of elements; throws when it overflows.
int64_t elements(const Shape& shape);

/// Name, type and shape of an input or output; -1 is a dim that is free, `symbols` names it.
struct Signature {
  std::string name;
  DType type = DType::F32;
  Shape shape;
  std::vector<std::string> symbols;
};

/// An array that the caller owns (inputs) or the session owns (outputs, valid until the next `run`).
struct Array {
  DType type = DType::F32;
  Shape shape;
  const void* data = nullptr;
};

struct OpTime {
  std::string kind;
  std::string name;
  double seconds = 0;  // summed over the profiled runs
  int64_t calls = 0;
  int64_t macs = 0;   // multiply-accumulates a run, for the last shapes
  int64_t bytes = 0;  // of inputs, weights and outputs
};

struct SessionOptions {
  int threads = 0;  // 0: QGRAPH_THREADS, else all cores
  std::string isa;  // empty: QGRAPH_ISA, else the best of this CPU: one of available_isas()
  bool profile = false;
  size_t memory_limit = 0;     // bytes of activations that a run may take; 0: no limit
  bool keep = false;           // keep every intermediate value, so that `tensor` can read it (needs more memory)
  int64_t max_iterations = 0;  // of all loops of a run together, else it ends in an Error; 0: no limit
  std::function<void()> poll;  // called now and then between iterations of loops; what it throws ends the run
};

/// One loaded program. A session runs one `run` at a time: a concurrent call throws Error. Sessions are independent.
class Session {
 public:
  explicit Session(const std::string& path, const SessionOptions& options = {});
  ~Session();
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;

  const std::vector<Signature>& inputs() const;
  const std::vector<Signature>& outputs() const;

  /// Plan memory for these input shapes; `run` does it when it meets new ones.
  void prepare(const std::vector<Shape>& shapes);

  /// Run with arrays in the order of `inputs()`; returns arrays in the order of `outputs()`. Of an output whose shape follows
  /// from the data, the array says what it is.
  std::vector<Array> run(const std::vector<Array>& inputs);

  /// Let an input take what an output was in the run before, where no array is given for it (`data` is null). In the first run
  /// it is zeros: free dims are as long as those of the same symbol in the inputs that are given, else 0. The value stays in the
  /// session; it is not copied from run to run. A run that ends in an Error leaves it as it was.
  void bind(const std::string& output, const std::string& input);
  /// Forget the values of bound inputs: the next run is a first one.
  void reset();
  /// What a bound input will be in the next run; null data before the first. Valid until the next `run`.
  Array state(const std::string& input) const;

  /// An intermediate value of the last run, by name; needs the option `keep`.
  Array tensor(const std::string& name) const;
  /// Names of all values that `tensor` knows.
  std::vector<std::string> tensor_names() const;

  const std::string& isa() const;
  int threads() const;
  size_t arena_bytes() const;
  size_t weight_bytes() const;
  std::vector<OpTime> profile() const;
  std::vector<std::pair<std::string, std::string>> metadata() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Instruction sets that this build has kernels for and this CPU can run, slowest first.
std::vector<std::string> available_isas();

/// What the machine can do with this many threads: multiply-accumulates a second of the matrix kernel on data in L1, and
/// bytes a second read from memory. Takes about half a second. Link qgraph_tooling for it.
struct Peak {
  double macs = 0;
  double bytes = 0;
};
Peak measure_peak(int threads, const std::string& isa = "");

}  // namespace qgraph
