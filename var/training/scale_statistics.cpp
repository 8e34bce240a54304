#include "var/training/scale_statistics.h"

namespace terrace {

ScaleStatistics::ScaleStatistics(int64_t scales)
    : loss_(static_cast<size_t>(scales)), correct_(static_cast<size_t>(scales)), count_(static_cast<size_t>(scales)) {}

void ScaleStatistics::add(const Pyramid& pyramid, const TokenLosses& tokens, const Tensor& target) {
  const Tensor token_loss = tokens.loss.to(kCpu);
  const Tensor predicted = tokens.predicted.defined() ? tokens.predicted.to(kCpu) : Tensor();
  const int64_t B = token_loss.dim(0), L = token_loss.dim(1);
  const float* value = token_loss.data<float>();
  const int64_t* best = predicted.defined() ? predicted.data<int64_t>() : nullptr;
  const int64_t* wanted = target.data<int64_t>();
  for (size_t s = 0; s < loss_.size(); ++s) {
    const int64_t begin = pyramid.begin(static_cast<int64_t>(s)), end = pyramid.end(static_cast<int64_t>(s));
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t t = b * L + begin; t < b * L + end; ++t) {
        loss_[s] += value[t];
        if (best != nullptr && best[t] == wanted[t]) { ++correct_[s]; }
      }
    }
    count_[s] += static_cast<double>(B * (end - begin));
  }
}

void ScaleStatistics::add(const ScaleStatistics& other) {
  for (size_t s = 0; s < loss_.size(); ++s) {
    loss_[s] += other.loss_[s];
    correct_[s] += other.correct_[s];
    count_[s] += other.count_[s];
  }
}

void ScaleStatistics::add_ranks(Communicator& ranks, Device device) {
  for (std::vector<double>* values : {&loss_, &correct_, &count_}) {
    const Tensor all = Tensor::from(*values, {static_cast<int64_t>(values->size())}).to(device);
    ranks.sum({all});
    *values = all.to_vector<double>();
  }
}

HeldOut ScaleStatistics::means() const {
  HeldOut out;
  double total_loss = 0, total_correct = 0, total = 0;
  for (size_t s = 0; s < loss_.size(); ++s) {
    out.scale_loss.push_back(loss_[s] / count_[s]);
    out.scale_accuracy.push_back(correct_[s] / count_[s]);
    total_loss += loss_[s];
    total_correct += correct_[s];
    total += count_[s];
  }
  out.loss = total_loss / total;
  out.accuracy = total_correct / total;
  return out;
}

}  // namespace terrace
