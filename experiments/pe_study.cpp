// Compares positional encodings: one tokenizer, then one transformer per encoding and seed on the same tokens.
#include <cmath>
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/output_folder.h"
#include "experiments/cli/program.h"
#include "experiments/cli/progress.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/folder.h"
#include "experiments/study/report.h"
#include "experiments/study/study.h"

namespace terrace {
namespace {

/// Where --minutes was given and the study took a quarter longer, or more.
std::string overrun(const StudyResults& results, double minutes) {
  if (!(minutes > 0) || results.wall_seconds < 1.25 * 60 * minutes) { return ""; }
  return cat("; more than the ", format_duration(60 * minutes),
             " of --minutes: the machine was slower than when the steps were chosen, or what was given takes longer");
}

void print_summary(const StudyResults& results, const StudyConfig& config) {
  if (const std::string warning = shortness_warning(results); !warning.empty()) {
    std::printf("%s\n\n", warning.c_str());
  }
  const bool rule = has_rule(results);
  std::printf("%-22s %s\n", "encoding", rule ? "held-out loss        samples of their class" : "held-out loss");
  for (const std::string& encoding : results.encodings()) {
    const Spread loss = spread_of(figures(results, encoding, loss_of));
    const Spread share = spread_of(figures(results, encoding, share_of));
    std::string line = format_spread(loss, 4);
    if (rule) { line.resize(21, ' '), line += format_spread(share, 1) + " %"; }
    std::printf("%-22s %s\n", encoding.c_str(), line.c_str());
  }
  std::printf("%s\n", significance_sentence(results).c_str());
  const std::string share =
      std::isfinite(results.step_share()) ? cat(", ", percent(results.step_share()), " of it training steps") : "";
  std::printf("%s in all%s%s\n", format_duration(results.wall_seconds).c_str(), share.c_str(),
              overrun(results, config.minutes).c_str());
  std::printf("%s/report.html\n", config.common.out.c_str());
}

StudyResults run_or_say_how_to_go_on(Study& study) {
  try {
    return study.run();
  } catch (const Interrupted& e) {
    throw Interrupted(cat(e.what(), "; the same command, without --overwrite, goes on where the study was"));
  }
}

void pe_study(int argc, char** argv) {
  StudyConfig config;
  config.common.out = "study";
  Options options("pe_study", "compares positional encodings of a VAR on the same tokens and writes a report.");
  config.declare(options);
  options.epilog(
      "Example\n"
      "  pe_study cifar100.h5 --encodings learned,sinusoid-2d,sinusoid-2d@matched --seeds 0,1,2 --steps 2000 --out "
      "study\n");
  options.parse(argc, argv);
  config.note_given(options);
  config.common.apply();
  config.validate();

  OutputFolder folder(config.common.out, study_output(config, options), study_if_there(config));
  RunRecord record("pe_study", options.to_json(), config.common.seed);
  Study study(config, options.to_json(), folder, record);
  const StudyResults results = run_or_say_how_to_go_on(study);
  const Json figures = study_json(results);
  write_file(folder.path("results.json"), json_text(figures, 2) + "\n");
  write_file(folder.path("curves.csv"), study_csv(results));
  write_file(folder.path("report.html"), study_report(results));
  record.results() = {{"tokenizer-steps", results.configuration["tokenizer-steps"]},  // as --minutes chose them
                      {"steps", results.configuration["steps"]},
                      {"plan", figures["plan"]},
                      {"too_short", figures["too_short"]},
                      {"step_share", figures["step_share"]},
                      {"encodings", figures["encodings"]}};
  folder.finish(record);
  print_summary(results, config);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::pe_study); }
