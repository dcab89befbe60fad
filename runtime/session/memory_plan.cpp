#include "session/memory_plan.h"

#include <algorithm>

namespace qgraph {

size_t plan_memory(std::vector<Lifetime>& lives) {
  std::vector<Lifetime*> order;
  for (auto& life : lives)
    if (life.first >= 0) order.push_back(&life);
  std::stable_sort(order.begin(), order.end(), [](const Lifetime* a, const Lifetime* b) { return a->bytes > b->bytes; });
  std::vector<Lifetime*> placed;  // by offset
  size_t total = 0;
  for (Lifetime* life : order) {
    const size_t size = (std::max<size_t>(life->bytes, 1) + 63) / 64 * 64;
    size_t at = 0;
    for (const Lifetime* other : placed) {
      if (other->last < life->first || life->last < other->first) continue;
      if (other->offset >= at + size) break;
      at = std::max(at, other->offset + (std::max<size_t>(other->bytes, 1) + 63) / 64 * 64);
    }
    life->offset = at;
    total = std::max(total, at + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), life,
                                   [](const Lifetime* a, const Lifetime* b) { return a->offset < b->offset; }),
                  life);
  }
  return total;
}

}  // namespace qgraph
