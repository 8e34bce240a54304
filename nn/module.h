// Module: a tree of named parameters and buffers.
//
//   class Head : public Module {
//    public:
//     Head() { register_module("head", linear_); register_parameter("scale", scale_); }
//     Variable operator()(const Variable& x) const { return linear_(x) * scale_; }
//    private:
//     Linear linear_{64, 10};
//     Variable scale_{Tensor::full({1}, 1), Requires::kGrad};
//   };
//
// Names join with '.', so that they equal the keys of the official state_dicts: "blocks.0.ada_lin.1.weight".
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "autograd/variable.h"

namespace terrace {

using NamedParameters = std::vector<std::pair<std::string, Variable>>;
using NamedTensors = std::vector<std::pair<std::string, Tensor>>;
using State = std::map<std::string, Tensor>;

struct TensorSpec {
  Shape shape;
  DType dtype = DType::kF32;
};

/// Names that need not agree. An entry matches a whole name or its last components ("zero_k_bias" covers every
/// block's).
struct LoadRules {
  std::vector<std::string> may_be_extra, may_be_missing;
};

/// Throws ConfigError, opening with `op`, with all missing, extra, mis-shaped and mis-typed names at once, unless the
/// tensors described by `source` can be loaded into those of `target`, converting between floating types. For a missing
/// name the nearest extra one is suggested.
void check_state(const char* op, const State& target, const std::map<std::string, TensorSpec>& source,
                 const LoadRules& rules);

/// Copies the values of `source` into the tensors of `target`. Names of `ignored` may be extra. Throws as check_state;
/// then nothing has been changed.
void copy_state(const char* op, const State& target, const State& source, const std::vector<std::string>& ignored = {});

class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;  // registrations point at members, so a module stays where it was made
  Module& operator=(const Module&) = delete;

  /// In registration order: own parameters first, then those of the children. The Variables are handles.
  NamedParameters named_parameters() const;
  NamedTensors named_buffers() const;
  std::vector<Variable> parameters() const;
  /// The parameter of that name. Throws ConfigError that names it.
  Variable parameter(const std::string& name) const;
  int64_t parameter_count() const;

  /// Parameters and buffers by name; handles, not copies.
  State state() const;
  /// As copy_state into state().
  void load_state(const State& state, const std::vector<std::string>& ignored = {});

  /// Moves parameters and buffers; gradients are dropped. Handles of parameters stay valid, those of tensors do not.
  void to(Device device);

  /// Dropout, drop-path and the like act while training. A new module is training.
  void train() { set_training(true); }
  void eval() { set_training(false); }
  bool training() const { return training_; }
  void zero_grad();

 protected:
  /// Called in constructors, with members. A name may hold dots. Throws ConfigError if the name is taken.
  void register_parameter(std::string name, Variable& parameter);
  void register_buffer(std::string name, Tensor& buffer);
  void register_module(std::string name, Module& module);
  /// The parameters, buffers and children of `module` under their own names, without one in front of them.
  void register_members(Module& module);

 private:
  template <class F>
  void visit(const std::string& prefix, const F& f) const;
  bool is_taken(const std::string& name) const;
  void check_free(const std::string& name) const;
  void set_training(bool training);

  std::vector<std::pair<std::string, Variable*>> parameters_;
  std::vector<std::pair<std::string, Tensor*>> buffers_;
  std::vector<std::pair<std::string, Module*>> modules_;  // "": its members have no prefix
  bool training_ = true;
};

}  // namespace terrace
