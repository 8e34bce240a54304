// Compares positional encodings: one tokenizer, then one transformer per encoding and seed on the same tokens.
#include <cstdio>

#include "data/files/atomic_file.h"
#include "data/files/json.h"
#include "experiments/cli/program.h"
#include "experiments/cli/run_record.h"
#include "experiments/study/report.h"
#include "experiments/study/study.h"

namespace terrace {
namespace {

void print_summary(const StudyResults& results, const std::string& folder) {
  std::printf("%-22s %-20s %s\n", "encoding", "held-out loss", "samples of their class");
  for (const std::string& encoding : results.encodings()) {
    std::vector<double> loss, share;
    for (const StudyRun* run : results.runs_of(encoding)) {
      loss.push_back(run->held_out.loss);
      share.push_back(100 * run->own_share);
    }
    std::printf("%-22s %-20s %s %%\n", encoding.c_str(), format_spread(spread_of(loss), 4).c_str(),
                format_spread(spread_of(share), 1).c_str());
  }
  std::printf("%s\n%s/report.html\n", significance_sentence(results).c_str(), folder.c_str());
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
  config.common.apply();

  RunRecord record("pe_study", options.to_json(), config.common.seed);
  Study study(config, options.to_json());
  const StudyResults results = study.run();
  const Json figures = study_json(results);
  const std::string& folder = config.common.out;
  write_file(folder + "/results.json", json_text(figures, 2) + "\n");
  write_file(folder + "/curves.csv", study_csv(results));
  write_file(folder + "/report.html", study_report(results));
  record.results() = {{"tokenizer-steps", results.configuration["tokenizer-steps"]},  // as --minutes chose them
                      {"steps", results.configuration["steps"]},
                      {"encodings", figures["encodings"]}};
  record.write(folder);
  print_summary(results, folder);
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run_program(argc, argv, terrace::pe_study); }
