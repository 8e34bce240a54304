// Converts weights between the formats of PyTorch, safetensors, NumPy and Terrace, and shows what is in a file.
#include <algorithm>
#include <cstdio>
#include <iomanip>
#include <iostream>

#include "data/formats/open_tensor_file.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "tensor/base/error.h"
#include "tensor/base/names.h"
#include "var/weights/checkpoint.h"
#include "var/weights/weight_export.h"

namespace terrace {
namespace {

struct Sum {
  int64_t values = 0, bytes = 0;
};

Sum print_entries(const std::vector<TensorEntry>& entries, size_t width) {
  Sum sum;
  for (const TensorEntry& entry : entries) {
    std::cout << std::left << std::setw(static_cast<int>(width) + 2) << entry.name << std::setw(6) << entry.dtype
              << entry.shape << "\n";
    sum.values += entry.shape.numel();
    sum.bytes += entry.bytes();
  }
  return sum;
}

/// "initial, log, optimizer": what the entries lie in.
std::string containers_of(const std::vector<TensorEntry>& entries) {
  constexpr size_t kMaxNames = 8;
  std::vector<std::string> names;
  for (const TensorEntry& entry : entries) {
    const std::string name = entry.name.substr(0, entry.name.find('/'));
    if (std::find(names.begin(), names.end(), name) == names.end()) { names.push_back(name); }
  }
  return join_names(names, ", ", kMaxNames);
}

/// The weights, and below them what else is in the file where it is asked for.
void print_list(const std::string& path, const std::string& prefix, bool all) {
  const TensorFile whole = open_tensor_file(checkpoint_file(path));
  const TensorFile file = prefix.empty() ? whole : whole.subtree(prefix);
  const std::vector<std::string> prefixes = weight_prefixes(file);
  std::vector<TensorEntry> weights, others;
  size_t width = 0;
  for (const TensorEntry& entry : file.entries()) {
    const bool is_weight =
        prefixes.empty() || std::any_of(prefixes.begin(), prefixes.end(),
                                        [&](const std::string& before) { return entry.name.starts_with(before); });
    (is_weight ? weights : others).push_back(entry);
    if (is_weight || all) { width = std::max(width, entry.name.size()); }
  }
  Sum sum = print_entries(weights, width);
  if (all && !others.empty()) {
    std::cout << "\n";
    const Sum more = print_entries(others, width);
    sum = {sum.values + more.values, sum.bytes + more.bytes};
  }
  const std::vector<std::string> classes = stored_class_names(whole);
  if (!classes.empty()) { std::cout << classes.size() << " classes: " << join_names(classes, ", ", 12) << "\n"; }
  char size[32];
  std::snprintf(size, sizeof size, "%.1f", static_cast<double>(sum.bytes) / 1e6);
  std::cout << file.path() << " (" << file.format() << "): " << weights.size() + (all ? others.size() : 0)
            << " tensors, " << sum.values << " values, " << size << " MB";
  if (!all && !others.empty()) {
    std::cout << "; " << others.size() << " more in " << containers_of(others) << ", listed by --all";
  }
  std::cout << "\n";
}

void run(int argc, char** argv) {
  std::string in, out, dtype = "as-is";
  ExportOptions settings;
  bool list = false, all = false, overwrite = false;
  Options options(
      "convert_weights",
      "Converts weights between .pth, .safetensors, .npz and Terrace's checkpoints; shows what a file holds.");
  options
      .add("in", in,
           "weights: .pth or .pt (zip or legacy), .safetensors, .npz, .npy, .h5, or the folder of a training run")
      .positional()
      .required()
      .input();
  options.add("out", out, "file to write: .safetensors, .pth, .pt, .npz, or .h5 (a checkpoint for sample)")
      .positional();
  options.add("list", list, "print names, types and shapes of the weights; converts nothing without OUT");
  options.add("all", all, "with --list: after them what a checkpoint holds beside weights (optimizer, log)");
  options.add("dtype", dtype, "type of floating tensors").choices({"as-is", "f32", "f16", "bf16"});
  options.add("prefix", settings.source.prefix, "take what lies below this name, e.g. trainer/var_wo_ddp")
      .metavar("NAME")
      .default_text("found by its names");
  options.add("heads", settings.source.num_heads, "attention heads, where the weights do not tell (no attn_l2_norm)")
      .range(0, 1024)
      .default_text("width / 64");
  options.add("patch-nums", settings.source.patch_nums, "a tokenizer's scales, of which weights tell only the number")
      .default_text("the official ones");
  declare_overwrite_file(options, overwrite, "OUT");
  options.epilog(
      "  convert_weights var_d16.pth --list\n"
      "  convert_weights runs/var var.pth\n"
      "  convert_weights ar-ckpt-last.pth var.safetensors --prefix trainer/var_wo_ddp --dtype bf16");
  options.parse(argc, argv);
  if (out.empty() && !list) { throw ConfigError("give a file to write, or --list"); }
  if (all && !list) { throw ConfigError("--all has no effect without --list"); }
  const OutputFile file(out, overwrite, "", options.inputs());
  if (dtype != "as-is") { settings.dtype = dtype_from_name(dtype); }
  if (list) { print_list(in, settings.source.prefix, all); }
  if (out.empty()) { return; }
  const ExportReport report = export_weights(in, out, settings);
  if (!report.missing_in_official_code.empty()) {
    std::cerr << "warning: " << out << ": the official code has to be changed before it loads this: "
              << join_names(report.missing_in_official_code, "; ") << "\n";
  }
  std::cout << out << ": " << (report.what.empty() ? "" : report.what + ", ") << report.tensors << " tensors, "
            << report.values << " values\n";
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::run); }
