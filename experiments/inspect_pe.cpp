// Shows the position tables of a checkpoint, a run or official weights: pictures, similarities, gradients, drift.
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/inspection/inspect.h"
#include "var/weights/checkpoint.h"

namespace terrace {
namespace {

void inspect_pe(int argc, char** argv) {
  CommonOptions common;
  common.out = "inspect";
  std::string checkpoint, prefix;
  bool overwrite = false;
  Options options("inspect_pe", "shows the position tables of a checkpoint: pictures, similarities, gradients, drift.");
  options
      .add("checkpoint", checkpoint,
           "the folder of a run of train_var, its checkpoint.h5, or official weights (.pth, .safetensors); gradients "
           "and drift are shown where they were recorded")
      .positional()
      .required()
      .input();
  options.add("prefix", prefix, "of a file with several models: take what lies below this name")
      .metavar("NAME")
      .default_text("found by its names");
  declare_overwrite(options, overwrite);
  options.add_common(common, "folder for inspect.html, inspect.json and run.json");
  options.epilog("  inspect_pe runs/var --out inspect\n  inspect_pe var_d16.pth --out inspect-d16");
  options.parse(argc, argv);
  common.apply_on_cpu();
  OutputFolder output(common.out,
                      {.program = "inspect_pe", .files = {"inspect.json", "inspect.html"}, .inputs = options.inputs()},
                      if_there(false, overwrite));

  RunRecord record("inspect_pe", options.to_json(), common.seed);
  const Inspection inspection = inspect_checkpoint(checkpoint, prefix);
  output.begin(record);
  const Json figures = inspection_json(inspection);
  write_file(output.path("inspect.json"), json_text(figures, 2) + "\n");
  write_file(output.path("inspect.html"), inspection_report(inspection));
  record.results() = figures["tables"];
  output.finish(record);
  for (const TableSummary& t : inspection.summary) {
    std::printf("%-24s RMS %-10s %s\n", t.name.c_str(), format_number(t.rms).c_str(), t.learned ? "learned" : "fixed");
  }
  std::printf("%s\n", output.path("inspect.html").c_str());
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::inspect_pe); }
