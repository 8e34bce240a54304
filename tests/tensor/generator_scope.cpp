#include "tensor/generator_scope.h"

#include "tests/support.h"

namespace terrace {
namespace {

TEST(GeneratorScope, ReturnsToThePositionBeforeAfterAnExceptionToo) {
  default_generator() = Generator(3, 4);
  default_generator().next_u32();
  struct Stop {};
  EXPECT_THROW(
      {
        const GeneratorScope scope(Generator(7, 8));
        EXPECT_EQ(default_generator().stream, 8u);
        default_generator().next_u32();
        throw Stop();
      },
      Stop);
  EXPECT_EQ(default_generator().seed, 3u);
  EXPECT_EQ(default_generator().stream, 4u);
  EXPECT_EQ(default_generator().offset, 1u);
}

}  // namespace
}  // namespace terrace
