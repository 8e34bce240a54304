// Shows the position tables of a checkpoint or a run: pictures, similarities, gradients, drift.
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/options.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/inspection/inspect.h"

namespace terrace {
namespace {

void inspect_pe(int argc, char** argv) {
  CommonOptions common;
  common.out = "inspect";
  std::string checkpoint;
  bool overwrite = false;
  Options options("inspect_pe", "shows the position tables of a checkpoint: pictures, similarities, gradients, drift.");
  options.add("checkpoint", checkpoint, "checkpoint of train_var, or a run's folder").positional().required();
  declare_overwrite(options, overwrite);
  options.add_common(common, "folder for inspect.html, inspect.json and run.json");
  options.parse(argc, argv);
  common.apply_on_cpu();
  OutputFolder output(common.out,
                      {.program = "inspect_pe", .files = {"inspect.json", "inspect.html"}, .inputs = {checkpoint}},
                      if_there(false, overwrite));

  RunRecord record("inspect_pe", options.to_json(), common.seed);
  const Inspection inspection = inspect_checkpoint(checkpoint);
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
