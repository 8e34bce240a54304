#include "var/weights/weight_export.h"

#include <filesystem>

#include "data/formats/tensor_writer.h"
#include "data/hdf5/file.h"
#include "data/hdf5/kind.h"
#include "tensor/base/error.h"

namespace terrace {
namespace {

/// What is written: tensors of files, and some that were made.
struct Source {
  TensorFile weights;
  std::optional<TensorFile> averaged;  // goes before `weights`
  std::optional<WeightKind> kind;
  std::string config;                                   // JSON, of a kind
  std::vector<std::pair<std::string, Tensor>> buffers;  // that the weights lack

  Tensor read(const std::string& name) const {
    for (const auto& [buffer, value] : buffers) {
      if (buffer == name) { return value; }
    }
    return averaged && averaged->has(name) ? averaged->read(name) : weights.read(name);
  }
};

Source find_source(const TensorFile& file, const WeightOptions& options) {
  const auto var = find_weights_if_any(file, WeightKind::kVar, options.prefix);
  const auto vqvae = find_weights_if_any(file, WeightKind::kVqvae, options.prefix);
  if (var && vqvae) {
    throw ConfigError(cat(file.path(), ": holds a transformer and a tokenizer; choose one with --prefix"));
  }
  if (!var && !vqvae) {
    return {options.prefix.empty() ? file : file.subtree(options.prefix), std::nullopt, std::nullopt, "", {}};
  }
  Source source{var ? *var : *vqvae, std::nullopt, var ? WeightKind::kVar : WeightKind::kVqvae, "", {}};
  std::vector<std::pair<std::string, Tensor>> buffers;
  if (var) {
    const VarConfig config = var_config_from_weights(*var, options);
    source.config = to_text(config);
    buffers = official_buffers(config);
  } else {
    const VqvaeConfig config = vqvae_config_from_weights(*vqvae, options);
    source.config = to_text(config);
    buffers = official_buffers(config);
    if (file.metadata().contains("terrace_kind")) { source.averaged = file.without_prefix("average/"); }
  }
  for (auto& [name, value] : buffers) {
    if (!source.weights.has(name)) { source.buffers.emplace_back(name, value); }
  }
  return source;
}

std::vector<TensorEntry> entries_of(const Source& source, const std::optional<DType>& dtype) {
  std::vector<TensorEntry> entries = source.weights.entries();
  for (const auto& [name, value] : source.buffers) { entries.push_back({name, value.dtype(), value.shape()}); }
  for (TensorEntry& entry : entries) {
    if (dtype && is_floating(entry.dtype)) { entry.dtype = *dtype; }
  }
  return entries;
}

void write_checkpoint(const Source& source, const std::vector<TensorEntry>& entries, const std::string& out) {
  if (!source.kind) {
    throw ConfigError(
        cat("cannot write ", out, ": ", source.weights.path(),
            " is neither a transformer nor a tokenizer, so that it makes no checkpoint; write .safetensors"));
  }
  Hdf5File file = Hdf5File::create(out);
  write_kind(file, name_of(*source.kind));
  file.write_attr_string("/", "config", source.config);
  file.write_attr_int("/", "step", 0);
  file.make_group("model");
  if (source.kind == WeightKind::kVar) { file.make_group("initial"); }
  for (const TensorEntry& entry : entries) {
    if (entry.name == "attn_bias_for_masking") {
      continue;  // follows from the configuration
    }
    file.write("model/" + entry.name, source.read(entry.name).to(entry.dtype));
  }
  file.commit();
}

/// Whether the configuration follows from the shapes alone, apart from what matters in training only.
bool shapes_determine_config(const Source& source) {
  WeightOptions known;
  if (source.kind == WeightKind::kVar) {
    const VarConfig config = var_config_from_text(source.config);
    known.num_heads = config.num_heads;
    const VarConfig shapes = var_config_from_shapes(source.weights, known);
    return shapes.norm_eps == config.norm_eps && shapes.mlp_ratio == config.mlp_ratio &&
           shapes.positions == config.positions;
  }
  const VqvaeConfig config = vqvae_config_from_text(source.config);
  known.patch_nums = config.patch_nums;
  VqvaeConfig shapes = vqvae_config_from_shapes(source.weights, known);
  shapes.beta = config.beta;
  shapes.dropout = config.dropout;
  return shapes == config;
}

/// A format that keeps no configuration must not need one.
void check_needs_no_config(const Source& source, const std::string& out) {
  bool determined = false;
  try {
    determined = !source.kind || shapes_determine_config(source);
  } catch (const ConfigError&) {  // not a configuration at all
  }
  if (determined) { return; }
  throw ConfigError(cat("cannot write ", out, ": the shapes of the weights do not tell this model, ", source.config,
                        "; .safetensors and .h5 keep that beside them"));
}

}  // namespace

ExportReport export_weights(const std::string& in, const std::string& out, const ExportOptions& options) {
  const Source source = find_source(open_tensor_file(in), options.source);
  const std::vector<TensorEntry> entries = entries_of(source, options.dtype);
  if (std::filesystem::path(out).extension() == ".h5") {
    write_checkpoint(source, entries, out);
  } else {
    std::map<std::string, std::string> metadata = {{"format", "pt"}};
    if (source.kind) {
      metadata["terrace_kind"] = name_of(*source.kind);
      metadata["config"] = source.config;
    }
    if (std::filesystem::path(out).extension() != ".safetensors") { check_needs_no_config(source, out); }
    const auto writer = create_tensor_file(out, entries, metadata);
    for (const TensorEntry& entry : entries) { writer->write(source.read(entry.name).to(entry.dtype)); }
    writer->commit();
  }
  ExportReport report;
  report.what = !source.kind ? "tensors" : source.kind == WeightKind::kVar ? "VAR transformer" : "tokenizer";
  report.tensors = static_cast<int64_t>(entries.size());
  for (const TensorEntry& entry : entries) { report.values += entry.shape.numel(); }
  return report;
}

}  // namespace terrace
