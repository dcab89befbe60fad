// Which backend computes what.
#pragma once

#include <vector>

#include "backend/backend.h"
#include "program/file.h"

namespace qgraph {

/// The backends of a session and their memories; memory 0 is the host's, where every backend without its own is.
struct Backends {
  explicit Backends(std::vector<std::unique_ptr<Backend>> list);
  size_t space_of(Backend& backend) const;
  /// The first whose kernels work in the host's memory; null where there is none.
  Backend* host() const;
  std::string names() const;

  std::vector<std::unique_ptr<Backend>> list;
  std::vector<DeviceMemory*> memories;  // null: the host's
};

struct SessionContext;

struct PlacedOp {
  std::unique_ptr<Op> op;
  Backend* backend = nullptr;  // null for a view, which has no kernel
  size_t space = 0;            // the backend's memory
  std::unique_ptr<Kernel> kernel;
  Values host;    // what is known on the host: shapes, and values known from shapes alone
  Values device;  // operands in the memory of a backend that has its own

  const Values& operands() const { return space == 0 ? host : device; }
};

/// Make the ops of a graph, and the kernel of each by the first backend that has one; throws Error where none has.
std::vector<PlacedOp> place_ops(SessionContext& context, GraphInfo& graph);

}  // namespace qgraph
