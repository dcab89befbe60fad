// Pad, of codes and of whatever else, and CenterCropPad.
#pragma once

#include "ops/dialect_generated.h"
#include "ops/movement.h"

namespace qgraph::ops {

/// An axis of a padded tensor: element i is at i - begin in x, of which [low, high) is kept.
struct PaddedAxis {
  int64_t begin, low, high;
};

class PadBase : public Movement {
 public:
  dialect::PadMode mode;
  std::vector<PaddedAxis> axes;  // of each axis

  /// The element to fill with; null for zeros.
  virtual const void* fill(const Values&) const { return nullptr; }

 protected:
  PadBase(const OpSource& s, dialect::PadMode m) : Movement(s), mode(m) {}
  /// The shape of the output, and `axes`, for `pads` at the begin of each of `along` (all when empty), then at their ends.
  void plan(const Values& v, std::vector<int64_t> along, const std::vector<int64_t>& pads);
};

/// Pad of codes. Inputs: x, pads. Attribute `value` is the code to fill with.
class Pad : public PadBase {
 public:
  explicit Pad(const OpSource& s);
  void infer(const Values& v) override;
  const void* fill(const Values&) const override { return &value_; }

 private:
  int64_t value_;
  std::vector<int64_t> axes_;
};

/// Pad of ONNX. Inputs: x, pads, value (optional), axes (optional).
class OnnxPad : public PadBase {
 public:
  explicit OnnxPad(const OpSource& s);
  void infer(const Values& v) override;
  const void* fill(const Values& v) const override { return given(v, 2) ? v.in[2]->data : nullptr; }
};

/// Inputs: x, the lengths of the axes.
class CenterCropPad : public PadBase {
 public:
  explicit CenterCropPad(const OpSource& s);
  void infer(const Values& v) override;

 private:
  std::vector<int64_t> axes_;
};

}  // namespace qgraph::ops
