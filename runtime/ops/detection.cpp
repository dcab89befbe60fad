#include "ops/detection.h"

namespace qgraph::ops {

RoiAlign::RoiAlign(const OpSource& s)
    : Op(s),
      largest(choice<dialect::RoiMode>(s.attributes, "mode") == dialect::RoiMode::Max),
      half_pixel(choice<dialect::RoiCoordinates>(s.attributes, "coordinate_transformation_mode") ==
                 dialect::RoiCoordinates::HalfPixel),
      bins{s.attributes.integer("output_height", 1), s.attributes.integer("output_width", 1)},
      sampling_ratio(s.attributes.integer("sampling_ratio", 0)),
      spatial_scale(s.attributes.number("spatial_scale", 1)) {}

void RoiAlign::infer(const Values& v) {
  const Tensor &x = in(v, 0, {DType::F32}), &rois = in(v, 1, {DType::F32}), &batches = in(v, 2, {DType::I64});
  require(x.rank() == 4 && x.shape[2] > 0 && x.shape[3] > 0, "the input needs four dims, and the last two must not be empty");
  require(rois.rank() == 2 && rois.shape[1] == 4 && batches.rank() == 1 && batches.size() == rois.shape[0],
          "regions have four numbers and a batch each");
  require(out(v).type == DType::F32, "the output must be float32");
  out(v).shape = {rois.shape[0], x.shape[1], bins[0], bins[1]};
  elements(out(v).shape);
}

NonMaxSuppression::NonMaxSuppression(const OpSource& s) : Op(s), centred(s.attributes.integer("center_point_box", 0) != 0) {
  require(s.output_type() == DType::I64, "the output must be int64");
}

void NonMaxSuppression::infer(const Values& v) {
  const Tensor &boxes = in(v, 0, {DType::F32}), &scores = in(v, 1, {DType::F32});
  require(boxes.rank() == 3 && boxes.shape[2] == 4 && scores.rank() == 3, "boxes and scores need three dims, boxes four numbers");
  require(boxes.shape[0] == scores.shape[0] && boxes.shape[1] == scores.shape[2], "the boxes do not fit the scores");
  for (size_t i = 2; i < 5; ++i)
    if (given(v, i)) require(in(v, i, {i == 2 ? DType::I64 : DType::F32}).size() == 1, "a limit must be one number");
}

}  // namespace qgraph::ops
