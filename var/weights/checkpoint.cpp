#include "var/weights/checkpoint.h"

#include "data/hdf5/kind.h"
#include "nn/weight_scopes.h"

namespace terrace {

void write_state(Hdf5File& file, const std::string& group, const State& state) {
  file.make_group(group);
  for (const auto& [name, value] : state) { file.write(group + "/" + name, value); }
}

State read_state(const Hdf5File& file, const std::string& group) {
  State state;
  for (const std::string& name : file.list_datasets(group)) { state[name] = file.read(group + "/" + name); }
  return state;
}

LoadedTransformer load_transformer(const std::string& path, const WeightOptions& options) {
  const WithoutInitialValues read_instead;
  LoadedTransformer loaded;
  Generator scratch(0);
  const TensorFile tensors = open_tensor_file(path);
  if (tensors.format() != "HDF5") {
    const TensorFile weights = find_weights(tensors, WeightKind::kVar, options.prefix);
    loaded.model = std::make_unique<VarTransformer>(var_config_from_weights(weights, options), scratch);
    load_var_weights(*loaded.model, weights);
    loaded.model->eval();
    return loaded;
  }
  const Hdf5File file = Hdf5File::open(path);
  check_kind(file, "var");
  loaded.model = std::make_unique<VarTransformer>(var_config_from_text(file.read_attr_string("/", "config")), scratch);
  load_var_weights(*loaded.model, tensors.subtree("model"));
  loaded.model->eval();
  if (file.has("class_names")) { loaded.class_names = file.read_strings("class_names"); }
  if (file.has_attr("/", "tokenizer_hash")) { loaded.tokenizer_hash = file.read_attr_string("/", "tokenizer_hash"); }
  loaded.initial = read_state(file, "initial");
  loaded.step = file.read_attr_int("/", "step");
  return loaded;
}

}  // namespace terrace
