#include "autograd/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/pointwise.h"
#include "autograd/ops/reduce.h"
#include "tensor/pointwise.h"
#include "tensor/random.h"

namespace terrace {
namespace {

class Checker {
 public:
  Checker(const char* name, const std::function<Variable(const std::vector<Variable>&)>& fn,
          const std::vector<Tensor>& inputs, const GradcheckOptions& options)
      : name_(name), fn_(fn), options_(options), generator_(options.seed) {
    for (const Tensor& input : inputs) {
      check_dtype(input, DType::kF64, "gradcheck", name);
      values_.push_back(input.clone());
    }
    NoGrad no_grad;
    const Tensor y = run(Requires::kNothing).value();
    cotangent_ = randn(y.shape(), generator_, DType::kF64).to(y.device());
  }

  void check() {
    std::vector<Variable> variables;
    const Variable y = run(Requires::kGrad, &variables);
    y.backward(cotangent_);
    for (size_t i = 0; i < variables.size(); ++i) {
      const Tensor analytic = variables[i].grad().defined()
                                  ? variables[i].grad()
                                  : Tensor::zeros(values_[i].shape(), DType::kF64, values_[i].device());
      if (values_[i].numel() <= options_.exhaustive) {
        check_elements(i, analytic);
      } else {
        check_directions(i, analytic);
      }
    }
  }

 private:
  Variable run(Requires requires_gradient, std::vector<Variable>* keep = nullptr) {
    std::vector<Variable> variables;
    for (const Tensor& value : values_) { variables.emplace_back(value, requires_gradient); }
    Variable y = fn_(variables);
    if (keep != nullptr) { *keep = variables; }
    return y;
  }

  double objective() {
    NoGrad no_grad;
    return sum(mul(run(Requires::kNothing).value(), cotangent_)).item<double>();
  }

  void check_elements(size_t argument, const Tensor& analytic) {
    const Tensor flat = values_[argument].flatten();  // a view: the values are clones
    const std::vector<double> x = flat.to_vector<double>(), a = analytic.to_vector<double>();
    const auto set = [&](size_t j, double value) { flat.select(0, static_cast<int64_t>(j)).fill_(value); };
    std::vector<double> numeric(a.size());
    double largest = 0;
    for (size_t j = 0; j < a.size(); ++j) {
      const double kept = x[j], h = options_.step * std::max(1.0, std::fabs(kept));
      set(j, kept + h);
      const double above = objective();
      set(j, kept - h);
      const double below = objective();
      set(j, kept);
      numeric[j] = (above - below) / (2 * h);
      largest = std::max(largest, std::fabs(numeric[j]));
    }
    for (size_t j = 0; j < a.size(); ++j) { compare(argument, cat("element ", j), a[j], numeric[j], largest); }
  }

  void check_directions(size_t argument, const Tensor& analytic) {
    const Tensor kept = values_[argument];
    for (int64_t d = 0; d < options_.directions; ++d) {
      const Tensor direction = randn(kept.shape(), generator_, DType::kF64).to(kept.device());
      const double expected = sum(mul(analytic, direction)).item<double>();
      values_[argument] = add(kept, scale(direction, options_.step));
      const double above = objective();
      values_[argument] = add(kept, scale(direction, -options_.step));
      const double below = objective();
      const double scale_of_sum = std::sqrt(sum(mul(analytic, analytic)).item<double>());
      compare(argument, cat("random direction ", d), expected, (above - below) / (2 * options_.step), scale_of_sum);
    }
    values_[argument] = kept;
  }

  void compare(size_t argument, const std::string& where, double analytic, double numeric, double largest) const {
    const double allowed = options_.atol + options_.rtol * std::max(std::fabs(numeric), largest);
    if (std::fabs(analytic - numeric) <= allowed) { return; }
    throw AutogradError(cat("gradcheck: ", name_, ", argument ", argument, " ", values_[argument].shape(), ", ", where,
                            ": analytic ", analytic, ", numeric ", numeric, ", allowed difference ", allowed));
  }

  const char* name_;
  const std::function<Variable(const std::vector<Variable>&)>& fn_;
  GradcheckOptions options_;
  Generator generator_;
  std::vector<Tensor> values_;
  Tensor cotangent_;
};

}  // namespace

void gradcheck(const char* name, const std::function<Variable(const std::vector<Variable>&)>& fn,
               const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
  Checker(name, fn, inputs, options).check();
}

}  // namespace terrace
