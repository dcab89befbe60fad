#include "session/held.h"

#include <algorithm>
#include <cstring>

namespace qgraph {

std::shared_ptr<Block> BlockPool::take(size_t bytes) {
  bytes = std::max<size_t>(bytes, 64);
  std::shared_ptr<Block>* best = nullptr;  // the smallest that is large enough, else the largest
  for (auto& block : blocks_) {
    if (block.use_count() != 1) continue;
    const bool fits = block->size() >= bytes;
    const bool better = best == nullptr || (fits ? (*best)->size() < bytes || block->size() < (*best)->size()
                                                 : block->size() > (*best)->size() && (*best)->size() < bytes);
    if (better) best = &block;
  }
  if (best == nullptr) best = &blocks_.emplace_back(std::make_shared<Block>());
  Block& block = **best;
  if (block.size() < bytes && block.reserve(std::max(bytes, block.size() + block.size() / 2)) == nullptr)
    throw Error("out of memory: " + std::to_string(bytes) + " bytes are needed; use smaller inputs");
  return *best;
}

size_t BlockPool::bytes() const {
  size_t sum = 0;
  for (const auto& block : blocks_) sum += block->size();
  return sum;
}

Held copied(const Tensor& tensor, BlockPool& pool) {
  const size_t bytes = bytes_of(tensor);
  Held held{tensor, pool.take(bytes)};
  held.tensor.data = held.memory->data();
  held.tensor.known = false;
  if (bytes != 0) std::memcpy(held.tensor.data, tensor.data, bytes);
  return held;
}

}  // namespace qgraph
