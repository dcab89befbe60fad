#include "ops/einsum.h"

#include <algorithm>
#include <cctype>

namespace qgraph::ops {

Einsum::Einsum(const OpSource& s) : Op(s) {
  std::string equation;
  for (int64_t code : s.attributes.integers("equation"))
    if (code != ' ') equation.push_back(static_cast<char>(code));
  const size_t arrow = equation.find("->");
  arrow_ = arrow != std::string::npos;
  if (arrow_) result_ = equation.substr(arrow + 2);
  std::string left = equation.substr(0, arrow);
  for (size_t at = 0; at != std::string::npos;) {
    const size_t comma = left.find(',', at);
    terms_.push_back(left.substr(at, comma == std::string::npos ? comma : comma - at));
    at = comma == std::string::npos ? comma : comma + 1;
  }
  require(terms_.size() == s.info.inputs.size(), "the equation has another number of terms than there are inputs");
}

Einsum::Labels Einsum::labels_of(const std::string& term, int rank) const {
  Labels labels;
  const size_t dots = term.find("...");
  const int letters = static_cast<int>(term.size()) - (dots == std::string::npos ? 0 : 3), hidden = rank - letters;
  require(dots == std::string::npos ? hidden == 0 : hidden >= 0 && hidden <= kMaxRank,
          "a term of the equation does not fit the rank of its input");
  for (size_t i = 0; i < term.size(); ++i) {
    if (i == dots) {
      for (int j = hidden; j-- > 0;) labels.push_back(kEllipsis + j);
      i += 2;
      continue;
    }
    require(std::isalpha(static_cast<unsigned char>(term[i])) != 0, "the equation has a character that is no label");
    labels.push_back(term[i]);
  }
  return labels;
}

/// Without an arrow: the axes of "...", then the labels that occur once, in the order of the alphabet.
Einsum::Labels Einsum::implied_result() const {
  std::vector<int> count(kLabels);
  for (const Labels& labels : operands)
    for (int label : labels) ++count[static_cast<size_t>(label)];
  Labels made;
  for (int label = kLabels; label-- > kEllipsis;)
    if (count[static_cast<size_t>(label)] > 0) made.push_back(label);
  for (int label = 0; label < kEllipsis; ++label)
    if (count[static_cast<size_t>(label)] == 1) made.push_back(label);
  return made;
}

void Einsum::infer(const Values& v) {
  operands.clear();
  lengths.assign(kLabels, -1);
  int hidden = 0;
  for (size_t i = 0; i < terms_.size(); ++i) {
    const Tensor& t = in(v, i, {DType::F32});
    operands.push_back(labels_of(terms_[i], t.rank()));
    for (size_t axis = 0; axis < operands[i].size(); ++axis) {
      const int label = operands[i][axis];
      int64_t &length = lengths[static_cast<size_t>(label)], own = t.shape[axis];
      require(length == own || length <= 1 || own == 1, "two axes of one label differ in length");
      if (length == -1 || length == 1) length = own;
      hidden = std::max(hidden, label - kEllipsis + 1);
    }
  }
  const int letters = static_cast<int>(result_.size()) - (result_.find("...") == std::string::npos ? 0 : 3);
  result = arrow_ ? labels_of(result_, letters + (result_.find("...") == std::string::npos ? 0 : hidden)) : implied_result();
  Shape shape;
  for (size_t i = 0; i < result.size(); ++i) {
    require(std::count(result.begin(), result.end(), result[i]) == 1, "the result of the equation has a label twice");
    require(lengths[static_cast<size_t>(result[i])] >= 0, "the result of the equation has a label that no term has");
    shape.push_back(lengths[static_cast<size_t>(result[i])]);
  }
  out(v).shape = shape;
  macs_ = 1;
  for (int64_t length : lengths) macs_ *= length < 0 ? 1 : length;
}

}  // namespace qgraph::ops
