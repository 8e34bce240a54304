#include "nn/module.h"

#include <algorithm>
#include <functional>

#include "tensor/base/error.h"
#include "tensor/base/names.h"

namespace terrace {
namespace {

constexpr size_t kMaxNames = 20;  // in an error text

/// "2 missing (a, b)" appended to `text`; nothing for none.
void append_names(std::string& text, const char* what, const std::vector<std::string>& names) {
  if (names.empty()) { return; }
  text += cat(text.back() == ':' ? " " : "; ", names.size(), " ", what, " (", join_names(names, ", ", kMaxNames), ")");
}

bool matches_any(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return name == pattern || name.ends_with("." + pattern); });
}

/// " [there is NAME]" with the nearest of `names`, where one is near enough to be meant.
std::string suggestion(const std::string& wanted, const std::vector<std::string>& names) {
  constexpr size_t kCompared = 1000;  // with more names the file is of another model, and none is near
  const std::string best =
      nearest_within(wanted, std::span(names).first(std::min(names.size(), kCompared)), wanted.size() / 3);
  return best.empty() ? "" : cat(" [there is ", best, "]");
}

std::string join(const std::string& prefix, const std::string& name) {
  return prefix.empty() || name.empty() ? prefix + name : prefix + "." + name;
}

}  // namespace

void check_state(const char* op, const State& target, const std::map<std::string, TensorSpec>& source,
                 const LoadRules& rules) {
  std::vector<std::string> missing, extra, misshaped, mistyped;
  for (const auto& [name, spec] : source) {
    if (!target.contains(name) && !matches_any(name, rules.may_be_extra)) { extra.push_back(name); }
  }
  for (const auto& [name, tensor] : target) {
    const auto found = source.find(name);
    if (found == source.end()) {
      if (!matches_any(name, rules.may_be_missing)) { missing.push_back(name + suggestion(name, extra)); }
    } else if (found->second.shape != tensor.shape()) {
      misshaped.push_back(cat(name, " is ", found->second.shape, ", not ", tensor.shape()));
    } else if (is_floating(found->second.dtype) != is_floating(tensor.dtype())) {
      mistyped.push_back(cat(name, " is ", found->second.dtype, ", not ", tensor.dtype()));
    }
  }
  if (missing.empty() && extra.empty() && misshaped.empty() && mistyped.empty()) { return; }
  std::string text = cat(op, ": the names do not fit what is being loaded into:");
  append_names(text, "missing", missing);
  append_names(text, "extra", extra);
  append_names(text, "of another shape", misshaped);
  append_names(text, "of another type", mistyped);
  throw ConfigError(text + "; was it saved with another configuration?");
}

void copy_state(const char* op, const State& target, const State& source, const std::vector<std::string>& ignored) {
  std::map<std::string, TensorSpec> specs;
  for (const auto& [name, tensor] : source) { specs[name] = {tensor.shape(), tensor.dtype()}; }
  check_state(op, target, specs, {.may_be_extra = ignored, .may_be_missing = {}});
  for (const auto& [name, tensor] : target) {
    Tensor handle = tensor;
    handle.copy_(source.at(name));
  }
}

template <class F>
void Module::visit(const std::string& prefix, const F& f) const {
  f(prefix, *this);
  for (const auto& [name, module] : modules_) { module->visit(join(prefix, name), f); }
}

NamedParameters Module::named_parameters() const {
  NamedParameters all;
  visit("", [&all](const std::string& prefix, const Module& module) {
    for (const auto& [name, parameter] : module.parameters_) { all.emplace_back(join(prefix, name), *parameter); }
  });
  return all;
}

NamedTensors Module::named_buffers() const {
  NamedTensors all;
  visit("", [&all](const std::string& prefix, const Module& module) {
    for (const auto& [name, buffer] : module.buffers_) { all.emplace_back(join(prefix, name), *buffer); }
  });
  return all;
}

std::vector<Variable> Module::parameters() const {
  std::vector<Variable> all;
  for (auto& [name, parameter] : named_parameters()) { all.push_back(parameter); }
  return all;
}

Variable Module::parameter(const std::string& name) const {
  for (auto& [key, parameter] : named_parameters()) {
    if (key == name) { return parameter; }
  }
  throw ConfigError(
      cat("parameter: there is no \"", name, "\" among the ", named_parameters().size(), " of this module"));
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, parameter] : named_parameters()) { count += parameter.numel(); }
  return count;
}

State Module::state() const {
  State all;
  for (const auto& [name, parameter] : named_parameters()) { all.emplace(name, parameter.value()); }
  for (const auto& [name, buffer] : named_buffers()) { all.emplace(name, buffer); }
  return all;
}

void Module::load_state(const State& state_in, const std::vector<std::string>& ignored) {
  copy_state("load_state", state(), state_in, ignored);
}

void Module::to(Device device) {
  for (auto& [name, parameter] : parameters_) {
    parameter->zero_grad();
    parameter->set_value(parameter->value().to(device));
  }
  for (auto& [name, buffer] : buffers_) { *buffer = buffer->to(device); }
  for (auto& [name, module] : modules_) { module->to(device); }
}

void Module::zero_grad() {
  for (auto& [name, parameter] : named_parameters()) { parameter.zero_grad(); }
}

void Module::set_training(bool training) {
  training_ = training;
  for (auto& [name, module] : modules_) { module->set_training(training); }
}

bool Module::is_taken(const std::string& name) const {
  const auto among = [&name](const auto& list) {
    return std::any_of(list.begin(), list.end(), [&name](const auto& entry) { return entry.first == name; });
  };
  return among(parameters_) || among(buffers_) || among(modules_) ||
         std::any_of(modules_.begin(), modules_.end(),
                     [&name](const auto& entry) { return entry.first.empty() && entry.second->is_taken(name); });
}

void Module::check_free(const std::string& name) const {
  if (name.empty()) { throw ConfigError("register: a name must not be empty"); }
  if (is_taken(name)) {
    throw ConfigError(cat("register: the name \"", name, "\" is taken in this module; choose another"));
  }
}

void Module::register_parameter(std::string name, Variable& parameter) {
  check_free(name);
  if (!parameter.defined()) {
    throw ConfigError(cat("register: parameter \"", name, "\" has no value yet; set it first"));
  }
  parameters_.emplace_back(std::move(name), &parameter);
}

void Module::register_buffer(std::string name, Tensor& buffer) {
  check_free(name);
  if (!buffer.defined()) { throw ConfigError(cat("register: buffer \"", name, "\" has no value yet; set it first")); }
  buffers_.emplace_back(std::move(name), &buffer);
}

void Module::register_module(std::string name, Module& module) {
  check_free(name);
  modules_.emplace_back(std::move(name), &module);
}

void Module::register_members(Module& module) {
  for (const auto& [name, parameter] : module.parameters_) { check_free(name); }
  for (const auto& [name, buffer] : module.buffers_) { check_free(name); }
  for (const auto& [name, child] : module.modules_) { check_free(name); }
  modules_.emplace_back("", &module);
}

}  // namespace terrace
