// Einsum of float32.
#pragma once

#include <string>

#include "ops/op.h"

namespace qgraph::ops {

/// Attribute `equation` has the codes of its characters. The first two operands are multiplied and summed over the labels that no
/// later one and not the result has, the outcome with the third, and so on.
class Einsum : public Op {
 public:
  explicit Einsum(const OpSource& s);
  void infer(const Values& v) override;
  int64_t macs() const override { return macs_; }

  /// Labels of the axes of an operand or of the result: letters, and from kEllipsis on the axes of "...", counted from the last.
  using Labels = std::vector<int>;
  static constexpr int kEllipsis = 128, kLabels = kEllipsis + 8;
  std::vector<Labels> operands;
  Labels result;
  std::vector<int64_t> lengths;  // of each label

 private:
  Labels labels_of(const std::string& term, int rank) const;
  Labels implied_result() const;

  std::vector<std::string> terms_;
  std::string result_;
  bool arrow_ = false;
  int64_t macs_ = 0;
};

}  // namespace qgraph::ops
