#include "metrics/inception/plan.h"

namespace terrace {
namespace {

using Window = InceptionWindow;
using Place = InceptionPlace;
using Area = InceptionArea;

constexpr Window k1x1{}, k3x3{3, 3, 1, 1, 1}, k5x5{5, 5, 1, 2, 2};
constexpr Window k1x3{1, 3, 1, 0, 1}, k3x1{3, 1, 1, 1, 0}, k1x7{1, 7, 1, 0, 3}, k7x1{7, 1, 1, 3, 0};
constexpr Window k3x3Inside{3, 3, 1, 0, 0}, k3x3Halving{3, 3, 2, 0, 0};

/// What a step writes; its rows and columns follow from what it reads.
struct Target {
  Area area;
  int64_t first, channels;
};
constexpr Target chain_a(int64_t channels) { return {Area::kChainA, 0, channels}; }
constexpr Target chain_b(int64_t channels) { return {Area::kChainB, 0, channels}; }

class Planner {
 public:
  InceptionPlan make() {
    stem();
    block_a("Mixed_5b", 32);
    block_a("Mixed_5c", 64);
    block_a("Mixed_5d", 64);
    block_b("Mixed_6a");
    block_c("Mixed_6b", 128);
    block_c("Mixed_6c", 160);
    plan_.spatial = block_c("Mixed_6d", 160);
    block_c("Mixed_6e", 192);
    plan_.level_768 = reach();
    block_d("Mixed_7a");
    block_e("Mixed_7b", InceptionLayer::kMeanPool);
    block_e("Mixed_7c", InceptionLayer::kMaxPool);
    plan_.level_2048 = reach();
    return std::move(plan_);
  }

 private:
  Place step(InceptionLayer layer, const std::string& name, const Place& from, const Target& to, const Window& w) {
    const Place place{to.area, to.first, to.channels, (from.height + 2 * w.pad_height - w.height) / w.stride + 1,
                      (from.width + 2 * w.pad_width - w.width) / w.stride + 1};
    plan_.steps.push_back({layer, name, from, place, w});
    return place;
  }
  Place conv(const std::string& branch, const Place& from, const Target& to, const Window& window) {
    return step(InceptionLayer::kConv, block_ + branch, from, to, window);
  }
  Place pool(InceptionLayer layer, const Place& from, const Target& to, const Window& window) {
    return step(layer, "", from, to, window);
  }

  // A block: open() names it and its output's channels, next() hands these out from the first on, close() makes the
  // output the next block's input.
  void open(const std::string& name) {
    block_ = name + ".";
    used_ = 0;
  }
  Target next(int64_t channels) {
    used_ += channels;
    return {x_.area == Area::kEven ? Area::kOdd : Area::kEven, used_ - channels, channels};
  }
  void close(const Place& last) { x_ = {last.area, 0, used_, last.height, last.width}; }
  InceptionReach reach() const { return {plan_.steps.size(), x_}; }

  void layer(const std::string& name, int64_t channels, const Window& window) {
    used_ = 0;
    close(step(InceptionLayer::kConv, name, x_, next(channels), window));
  }
  void halve() {
    used_ = 0;
    close(pool(InceptionLayer::kMaxPool, x_, next(x_.channels), k3x3Halving));
  }

  void stem() {
    x_ = {Area::kInput, 0, 3, kInceptionSize, kInceptionSize};
    layer("Conv2d_1a_3x3", 32, k3x3Halving);
    layer("Conv2d_2a_3x3", 32, k3x3Inside);
    layer("Conv2d_2b_3x3", 64, k3x3);
    halve();
    plan_.level_64 = reach();
    layer("Conv2d_3b_1x1", 80, k1x1);
    layer("Conv2d_4a_3x3", 192, k3x3Inside);
    halve();
    plan_.level_192 = reach();
  }

  void pool_branch(InceptionLayer layer, int64_t channels) {
    const Place pooled = pool(layer, x_, chain_a(x_.channels), k3x3);
    close(conv("branch_pool", pooled, next(channels), k1x1));
  }

  void block_a(const std::string& name, int64_t pool_channels) {
    open(name);
    conv("branch1x1", x_, next(64), k1x1);
    conv("branch5x5_2", conv("branch5x5_1", x_, chain_a(48), k1x1), next(64), k5x5);
    const Place first = conv("branch3x3dbl_1", x_, chain_a(64), k1x1);
    conv("branch3x3dbl_3", conv("branch3x3dbl_2", first, chain_b(96), k3x3), next(96), k3x3);
    pool_branch(InceptionLayer::kMeanPool, pool_channels);
  }

  void block_b(const std::string& name) {
    open(name);
    conv("branch3x3", x_, next(384), k3x3Halving);
    const Place first = conv("branch3x3dbl_1", x_, chain_a(64), k1x1);
    conv("branch3x3dbl_3", conv("branch3x3dbl_2", first, chain_b(96), k3x3), next(96), k3x3Halving);
    close(pool(InceptionLayer::kMaxPool, x_, next(x_.channels), k3x3Halving));
  }

  /// Where its branch1x1 is read.
  InceptionReach block_c(const std::string& name, int64_t c) {
    open(name);
    const Place direct = conv("branch1x1", x_, next(192), k1x1);
    const InceptionReach reach_direct{plan_.steps.size(), direct};
    const Place row = conv("branch7x7_2", conv("branch7x7_1", x_, chain_a(c), k1x1), chain_b(c), k1x7);
    conv("branch7x7_3", row, next(192), k7x1);
    const Place column = conv("branch7x7dbl_2", conv("branch7x7dbl_1", x_, chain_a(c), k1x1), chain_b(c), k7x1);
    const Place again = conv("branch7x7dbl_4", conv("branch7x7dbl_3", column, chain_a(c), k1x7), chain_b(c), k7x1);
    conv("branch7x7dbl_5", again, next(192), k1x7);
    pool_branch(InceptionLayer::kMeanPool, 192);
    return reach_direct;
  }

  void block_d(const std::string& name) {
    open(name);
    conv("branch3x3_2", conv("branch3x3_1", x_, chain_a(192), k1x1), next(320), k3x3Halving);
    const Place row = conv("branch7x7x3_2", conv("branch7x7x3_1", x_, chain_a(192), k1x1), chain_b(192), k1x7);
    conv("branch7x7x3_4", conv("branch7x7x3_3", row, chain_a(192), k7x1), next(192), k3x3Halving);
    close(pool(InceptionLayer::kMaxPool, x_, next(x_.channels), k3x3Halving));
  }

  void block_e(const std::string& name, InceptionLayer pooling) {
    open(name);
    conv("branch1x1", x_, next(320), k1x1);
    const Place single = conv("branch3x3_1", x_, chain_a(384), k1x1);
    conv("branch3x3_2a", single, next(384), k1x3);
    conv("branch3x3_2b", single, next(384), k3x1);
    const Place twice = conv("branch3x3dbl_2", conv("branch3x3dbl_1", x_, chain_a(448), k1x1), chain_b(384), k3x3);
    conv("branch3x3dbl_3a", twice, next(384), k1x3);
    conv("branch3x3dbl_3b", twice, next(384), k3x1);
    pool_branch(pooling, 192);
  }

  InceptionPlan plan_;
  std::string block_;  // "Mixed_5b."
  Place x_;            // the block's input
  int64_t used_ = 0;   // channels of its output so far
};

}  // namespace

const InceptionPlan& inception_plan() {
  static const InceptionPlan plan = Planner().make();
  return plan;
}

const InceptionReach& inception_level(int64_t level) {
  const InceptionPlan& plan = inception_plan();
  switch (level) {
    case 64:
      return plan.level_64;
    case 192:
      return plan.level_192;
    case 768:
      return plan.level_768;
    case 2048:
      return plan.level_2048;
    default:
      throw ConfigError(cat("inception: the levels of features are 64, 192, 768 and 2048, got ", level));
  }
}

}  // namespace terrace
