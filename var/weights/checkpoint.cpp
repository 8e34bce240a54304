#include "var/weights/checkpoint.h"

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

void write_kind(Hdf5File& file, const std::string& kind) {
  file.write_attr_string("/", "terrace_kind", kind);
  file.write_attr_int("/", "terrace_version", kCheckpointVersion);
}

void check_kind(const Hdf5File& file, const std::string& kind) {
  if (!file.has_attr("/", "terrace_kind")) {
    throw IoError(cat(file.path(), ": is not a checkpoint of kind '", kind, "' (no attribute terrace_kind)"));
  }
  const std::string found = file.read_attr_string("/", "terrace_kind");
  if (found != kind) { throw IoError(cat(file.path(), ": is of kind '", found, "', expected '", kind, "'")); }
  const int64_t version = file.read_attr_int("/", "terrace_version");
  if (version > kCheckpointVersion) {
    throw IoError(cat(file.path(), ": has version ", version, ", this program reads up to ", kCheckpointVersion));
  }
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
