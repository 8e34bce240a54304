// Shows the position tables of a checkpoint or a run: pictures, similarities, gradients, drift.
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/options.h"
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
  Options options("inspect_pe", "shows the position tables of a checkpoint: pictures, similarities, gradients, drift.");
  options.add("checkpoint", checkpoint, "checkpoint of train_var, or a run's folder").positional().required();
  options.add_common(common, "folder for inspect.html and inspect.json");
  options.parse(argc, argv);
  common.apply_on_cpu();

  RunRecord record("inspect_pe", options.to_json(), common.seed);
  const Inspection inspection = inspect_checkpoint(checkpoint);
  make_folder(common.out);
  const Json figures = inspection_json(inspection);
  write_file(common.out + "/inspect.json", json_text(figures, 2) + "\n");
  write_file(common.out + "/inspect.html", inspection_report(inspection));
  record.results() = figures["tables"];
  record.write(common.out);
  for (const TableSummary& t : inspection.summary) {
    std::printf("%-24s RMS %-10s %s\n", t.name.c_str(), format_number(t.rms).c_str(), t.learned ? "learned" : "fixed");
  }
  std::printf("%s/inspect.html\n", common.out.c_str());
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::inspect_pe); }
