#include <gtest/gtest.h>

#include <random>

#include "session/memory_plan.h"

namespace qgraph {
namespace {

TEST(Plan, LivingValuesNeverOverlap) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<Lifetime> lives(1 + random() % 60);
    for (auto& life : lives) {
      life.first = static_cast<int>(random() % 40);
      life.last = life.first + static_cast<int>(random() % 8);
      life.bytes = random() % 1000;
    }
    const size_t total = plan_memory(lives);
    for (const auto& a : lives) {
      EXPECT_EQ(a.offset % 64, 0u);
      EXPECT_LE(a.offset + a.bytes, total);
      for (const auto& b : lives) {
        if (&a == &b || a.last < b.first || b.last < a.first || a.bytes == 0 || b.bytes == 0) continue;
        EXPECT_TRUE(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset);
      }
    }
  }
}

TEST(Plan, ReusesMemoryOfDeadValues) {
  std::vector<Lifetime> lives{{0, 1, 6400, 0}, {1, 2, 6400, 0}, {2, 3, 6400, 0}, {3, 4, 6400, 0}};
  EXPECT_EQ(plan_memory(lives), 12800u);
}

}  // namespace
}  // namespace qgraph
