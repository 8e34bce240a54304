// The study's configuration, results and report, on made-up figures.
#include "experiments/study/report.h"

#include <sstream>

#include "experiments/study/config.h"
#include "experiments/study/study.h"
#include "tests/experiments/study/synthetic_study.h"
#include "tests/support.h"
#include "var/training/curves.h"

namespace terrace {
namespace {

void expect_holds(const std::string& text, const std::vector<std::string>& pieces) {
  for (const std::string& piece : pieces) { EXPECT_NE(text.find(piece), std::string::npos) << piece; }
}

TEST(StudyConfig, EncodingsAndTheirMatchedForms) {
  EXPECT_EQ(positional_from_text("sinusoid-1d", 48).kind, "sinusoid-1d");
  EXPECT_DOUBLE_EQ(positional_from_text("sinusoid-2d@matched", 48).rms, 1.0 / 12);
  EXPECT_DOUBLE_EQ(positional_from_text("mixed", 48).rms, 0);
  expect_error<ConfigError>([] { positional_from_text("lerned", 48); }, "lerned");
  expect_error<ConfigError>([] { positional_from_text("learned@matched", 48); }, "has no fixed table to scale");
  expect_error<ConfigError>([] { positional_from_text("mixed@half", 48); }, "only @matched may follow");
}

TEST(StudyConfig, RefusesEmptyAndDoubleLists) {
  const auto refuse = [](auto change, const std::string& text) {
    StudyConfig config;
    config.common.out = "out";
    change(config);
    expect_error<ConfigError>([&] { config.validate(); }, text);
  };
  refuse([](StudyConfig& c) { c.encodings.clear(); }, "--encodings must name");
  refuse([](StudyConfig& c) { c.seeds.clear(); }, "--seeds must hold");
  refuse([](StudyConfig& c) { c.encodings = {"none", "none"}; }, "--encodings holds a name twice");
  refuse([](StudyConfig& c) { c.seeds = {1, 1}; }, "--seeds holds a seed twice");
  refuse([](StudyConfig& c) { c.common.out.clear(); }, "--out is missing");
}

TEST(StudyConfig, TheTokenizerIsThePreset) {
  EXPECT_EQ(to_text(StudyConfig().tokenizer_config()), to_text(vqvae_preset32()));
}

TEST(StudyConfig, RefusesWhatNothingReads) {
  const auto refuse = [](auto change, const std::string& text) {
    StudyConfig config;
    config.common.out = "out";
    change(config);
    expect_error<ConfigError>([&] { config.validate(); }, text);
  };
  refuse([](StudyConfig& c) { c.tokenizer = "t.h5", c.vocab = 7; }, "--vocab has no effect: --tokenizer gives");
  refuse([](StudyConfig& c) { c.encodings = {"learned", "sinusoid-2d@matched"}, c.pe_scale = 2; }, "--pe-scale has no");
  refuse([](StudyConfig& c) { c.encodings = {"learned", "sinusoid-2d"}, c.mix = 0.5; }, "--pe-mix has no effect");
  StudyConfig config;
  config.common.out = "out";
  config.encodings = {"mixed", "none"};
  config.pe_scale = 2;
  config.mix = 0.5;
  config.validate();
}

TEST(StudyConfig, AnotherStudysFolderIsRefused) {
  const Json stored = {{"steps", 5}, {"seeds", {0}}, {"out", "a"}};
  require_same_study(stored, {{"steps", 5}, {"seeds", {0, 1}}, {"out", "b"}}, "a");
  expect_error<ConfigError>(
      [&] {
        require_same_study(stored, {{"steps", 6}}, "a");
      },
      "a holds a study with steps = 5, not 6; add --overwrite to replace it, or give another folder with --out");
}

TEST(StudyReport, HoldsEverySectionWithoutNetworkOrScript) {
  const std::string html = study_report(synthetic_study({"learned", "sinusoid-2d", "none"}, 3));
  for (const char* id : {"summary", "training", "samples", "inside", "tokenizer", "cost", "setup"}) {
    EXPECT_NE(html.find(std::string("<h2 id=\"") + id), std::string::npos) << id;
  }
  expect_holds(html, {"24.50 dB", "data:image/png;base64,", "<svg", "class &lt;0&gt;", "A &amp; B", "1:01"});
  for (const char* text : {"http", "<script", "nan", "inf%", "class <"}) {
    EXPECT_EQ(html.find(text), std::string::npos) << text;
  }
}

TEST(StudyReport, OneSeedClaimsNothing) {
  const StudyResults results = synthetic_study({"learned", "mixed"}, 1);
  expect_holds(significance_sentence(results), {"With one seed", "Three seeds or more are needed"});
  expect_holds(study_report(results), {"an observation, not a finding"});
}

TEST(StudyReport, ThreeSeedsTellLargeDifferencesFromChance) {
  StudyResults results = synthetic_study({"learned", "mixed"}, 3);
  expect_holds(significance_sentence(results), {"Over 3 seeds, mixed has a lower held-out loss than learned by 0.1"});
  // The same figures in both: nothing may be claimed.
  for (size_t i = 0; i < 3; ++i) {
    results.runs[3 + i].held_out.loss = results.runs[i].held_out.loss + (i % 2 == 0 ? 0.01 : -0.01);
  }
  expect_holds(significance_sentence(results), {"No difference in held-out loss to learned is established"});
}

TEST(StudyReport, BoldIsWhatTheTestSupports) {
  const std::string mark = "<td class=\"best\"";
  EXPECT_EQ(study_report(synthetic_study({"learned", "mixed"}, 1)).find(mark), std::string::npos);
  EXPECT_NE(study_report(synthetic_study({"learned", "mixed"}, 3)).find(mark), std::string::npos);
}

TEST(StudyReport, SharesHaveTheirIntervalAndProtocol) {
  StudyResults results = synthetic_study({"learned"}, 3);
  results.configuration = {{"cfg", 1.5}, {"top-k", 7}, {"top-p", 0.0}};
  expect_holds(study_report(results), {"of 192 samples", "guidance 1.5, top-k 7", "8 of the 16 held out"});
}

TEST(StudyReport, NamesTheVersionsOfItsParts) {
  StudyResults results = synthetic_study({"learned", "none"}, 1);
  EXPECT_EQ(study_report(results).find("in parts"), std::string::npos);
  results.runs[1].origin.version = "w";
  expect_holds(study_report(results), {"run in parts", "versions v, w"});
}

TEST(StudyReport, LongRunsHaveNoWarning) {
  const StudyResults results = synthetic_study({"learned", "mixed", "none"}, 3);
  EXPECT_EQ(shortness_warning(results), "");
  EXPECT_EQ(study_report(results).find("class=\"warning\""), std::string::npos);
  EXPECT_TRUE(study_json(results)["too_short"].is_null());
}

TEST(StudyReport, SaysAtTheTopWhyRunsAreTooShort) {
  StudyResults results = synthetic_study({"learned", "mixed", "none"}, 1);
  results.tokenizer.steps = 20;
  for (StudyRun& run : results.runs) { run.steps = 21; }
  const std::string warning = shortness_warning(results);
  EXPECT_EQ(warning,
            "Too short to compare encodings: the tokenizer has 20 steps, fewer than 100; each transformer has 21 "
            "steps, fewer than 100. The figures show how trainings begin, not how encodings differ.");
  const std::string html = study_report(results);
  EXPECT_LT(html.find(warning), html.find("<div class=\"headline\">"));
  EXPECT_EQ(study_json(results)["too_short"], warning);
}

TEST(StudyReport, CodeFrequenciesAloneAreTooLittle) {
  StudyResults results = synthetic_study({"learned", "mixed", "none"}, 1);
  // Perplexities 3, 12.5, 40 of 1, 4 and 16 positions.
  EXPECT_NEAR(code_entropy(results), (std::log(3) + 4 * std::log(12.5) + 16 * std::log(40)) / 21, 1e-12);
  results.runs[1].held_out.loss = 3.4;
  EXPECT_NE(shortness_warning(results).find("the held-out loss of mixed is not below 3.344, that of a model which only "
                                            "knows how often each code occurs at each scale"),
            std::string::npos)
      << shortness_warning(results);
}

TEST(StudyReport, ALossThatStillFallsIsSaid) {
  // Over the last quarter by about 0.13; the two encodings are 0.1 apart.
  const std::string warning = shortness_warning(synthetic_study({"learned", "mixed"}, 3));
  EXPECT_NE(warning.find("Still training: over the last quarter of the steps the held-out loss fell by 0.1"),
            std::string::npos)
      << warning;
}

TEST(StudyReport, SaysWhatPartOfTheTimeWereSteps) {
  const StudyResults results = synthetic_study({"learned", "none"}, 1);
  EXPECT_NEAR(results.step_share(), (2 + 2 * 3) / 61.0, 1e-12);
  expect_holds(study_report(results), {"13 % of the 1:01 were training steps"});
}

TEST(StudyReport, LossesOverAPartSaySo) {
  StudyResults results = synthetic_study({"learned", "none"}, 1);
  expect_holds(study_report(results), {"Held-out loss over all of the 16 held-out images"});
  results.final_images = 8;
  expect_holds(study_report(results),
               {"Held-out loss over 8 of the 16 held-out images", "the figure in the summary is over 8."});
}

TEST(StudyReport, ManyEncodingsStandInBandsOfReadableSamples) {
  const std::string html = study_report(synthetic_study({"a", "b", "c", "d"}, 1));
  size_t bands = 0;
  for (size_t at = html.find("<div class=\"strips\""); at != std::string::npos;
       at = html.find("<div class=\"strips\"", at + 1)) {
    ++bands;
  }
  EXPECT_EQ(bands, 2U);
  EXPECT_NE(html.find("width=\"472\""), std::string::npos) << "eight samples of 56 pixels and their gaps";
}

TEST(StudyReport, ClassesOfFewSamplesShareARow) {
  StudyResults results = synthetic_study({"learned", "none", "mixed"}, 1, 9);
  for (StudyRun& run : results.runs) {
    run.samples = run.samples.slice(0, 0, 9).contiguous();
    run.sample_labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}, {9});
  }
  const std::string html = study_report(results);
  EXPECT_NE(
      html.find("<span>class &lt;0&gt;, class &lt;1&gt;, class &lt;2&gt;, class &lt;3&gt;, class &lt;4&gt;</span>"),
      std::string::npos);
  EXPECT_NE(html.find("<span>class &lt;5&gt;, class &lt;6&gt;, class &lt;7&gt;, class &lt;8&gt;</span>"),
            std::string::npos);
}

TEST(StudyReport, SamplesOfSomeClassesHaveTheirNames) {
  StudyResults results = synthetic_study({"learned"}, 1);
  results.runs[0].samples = results.runs[0].samples.slice(0, 0, 2).contiguous();
  results.runs[0].sample_labels = Tensor::from(std::vector<int64_t>{1, 3}, {2});
  const std::string html = study_report(results);
  EXPECT_NE(html.find("<span>class &lt;1&gt;, class &lt;3&gt;</span>"), std::string::npos);
}

TEST(StudyResults, CostsOutliveAnInterrupt) {
  TemporaryFolder folder;
  EXPECT_TRUE(read_costs(folder / "costs.json").records.empty());
  write_costs(folder / "costs.json", {.seconds = 2.5, .records = {{10, {0.25, 1000}}, {20, {0.5, 3000}}}});
  const StageCosts costs = read_costs(folder / "costs.json");
  EXPECT_DOUBLE_EQ(costs.seconds, 2.5);
  EXPECT_EQ(costs.records.at(20), std::pair(0.5, int64_t{3000}));
}

TEST(StudyReport, WithoutARuleTheShareIsLeftOut) {
  StudyResults results = synthetic_study({"learned", "mixed"}, 3);
  results.tokenizer.real_share = kNotMeasured;
  for (StudyRun& run : results.runs) { run.own_share = kNotMeasured; }
  const std::string html = study_report(results);
  EXPECT_EQ(html.find("showing their class"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(StudyReport, ContrastsPairTheSeeds) {
  const std::vector<Contrast> list = contrasts(synthetic_study({"learned", "mixed", "none"}, 3));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[1].encoding, "none");
  EXPECT_NEAR(list[1].held_out_loss.difference.mean, -0.2, 0.02);
  EXPECT_NEAR(list[1].own_share.difference.mean, 20, 2);
}

TEST(StudyResults, JsonHasMeansAndNullForWhatWasNotMeasured) {
  StudyResults results = synthetic_study({"learned"}, 2);
  results.runs[0].own_share = kNotMeasured;
  const Json j = study_json(results);
  EXPECT_TRUE(j["runs"][0]["own_class_share"].is_null());
  EXPECT_EQ(j["encodings"]["learned"]["held_out_loss"]["runs"], 2);
  EXPECT_TRUE(j["encodings"]["learned"]["held_out_loss"]["sd"].is_number());
  EXPECT_EQ(Json::parse(j.dump()), j);
}

TEST(StudyResults, CsvHasARowPerRecordAndTheSameColumns) {
  std::istringstream csv(study_csv(synthetic_study({"learned", "none"}, 2)));
  std::string line;
  int64_t rows = 0, columns = -1;
  while (std::getline(csv, line)) {
    const int64_t commas = std::count(line.begin(), line.end(), ',');
    if (columns < 0) { columns = commas; }
    EXPECT_EQ(commas, columns) << line;
    ++rows;
  }
  EXPECT_EQ(rows, 1 + 2 * 2 * 10);
}

TEST(StudyResults, CsvHasTheColumnsOfTrainVar) {
  const StudyResults results = synthetic_study({"learned"}, 1);
  std::istringstream csv(study_csv(results));
  std::string header, line, last;
  std::getline(csv, header);
  EXPECT_EQ(header, "encoding,seed," + curves_csv_header<VarStepRecord>(3));
  while (std::getline(csv, line)) { last = line; }
  VarStepRecord end = results.runs[0].log.back();
  end.held_out_images = 16;  // all of them at the end
  end.frechet_distance = 2;  // of the run's samples
  EXPECT_EQ(last, "learned,0," + curves_csv_row(end, 3));
}

TEST(StudyResults, RoundTripThroughFiles) {
  TemporaryFolder folder;
  const StudyResults results = synthetic_study({"learned"}, 1);
  write_run(folder / "run.h5", results.runs[0]);
  const StudyRun run = read_run(folder / "run.h5");
  EXPECT_EQ(run.encoding, "learned");
  EXPECT_EQ(run.log.size(), 10U);
  EXPECT_EQ(run.log[3].scale_gradient, results.runs[0].log[3].scale_gradient);
  EXPECT_EQ(run.held_out.loss, results.runs[0].held_out.loss);
  EXPECT_EQ(run.start[0].name, "positions: learned");
  EXPECT_EQ(run.distance, 2);
  EXPECT_EQ(run.distance_images, 60);
  EXPECT_SAME(run.samples, results.runs[0].samples);
  EXPECT_SAME(run.table, results.runs[0].table);
  write_tokenizer_result(folder / "t.h5", results.tokenizer);
  const StudyTokenizer t = read_tokenizer_result(folder / "t.h5");
  EXPECT_EQ(t.psnr, 24.5);
  EXPECT_EQ(t.distance, 0.75);
  EXPECT_EQ(t.distance_name, "FID(64)");
  EXPECT_EQ(t.distance_images, 16);
  EXPECT_EQ(t.perplexity, results.tokenizer.perplexity);
  EXPECT_SAME(t.originals, results.tokenizer.originals);
  expect_error<IoError>([&] { read_run(folder / "t.h5"); }, "not a result of this program's version");
}

TEST(StudyReport, ShowsTheDistanceWhereItWasMeasured) {
  StudyResults results = synthetic_study({"learned", "none"}, 1);
  const std::string report = study_report(results);
  EXPECT_NE(report.find("FID(64): of 60 samples to 16 held-out images"), std::string::npos);
  EXPECT_NE(report.find("reconstructions of held-out images are at 0.750"), std::string::npos);
  results.tokenizer.distance = 0.00023;
  EXPECT_NE(study_report(results).find("reconstructions of held-out images are at 0.000230"), std::string::npos);
  results.tokenizer.distance = kNotMeasured;
  EXPECT_EQ(study_report(results).find("FID(64)"), std::string::npos);
}

TEST(StudyReport, CosineSimilarity) {
  const Tensor table = Tensor::from(std::vector<float>{1, 0, 2, 0, 0, 3, 0, 0}, {4, 2});
  const std::vector<float> cosine = cosine_similarity(table).to_vector<float>();
  EXPECT_EQ((std::vector<float>(cosine.begin(), cosine.begin() + 4)), (std::vector<float>{1, 1, 0, 0}));
}

TEST(Study, OwnClassShareCounts) {
  Tensor images = Tensor::empty({4, kProceduralSize, kProceduralSize, 3}, DType::kU8);
  for (int64_t i = 0; i < 4; ++i) { images.select(0, i).copy_(generate_procedural(3, i, i)); }
  std::vector<double> each;
  EXPECT_DOUBLE_EQ(own_class_share(images, Tensor::from(std::vector<int64_t>{0, 1, 2, 3}, {4}), &each), 1);
  EXPECT_DOUBLE_EQ(own_class_share(images, Tensor::from(std::vector<int64_t>{0, 1, 3, 2}, {4}), &each), 0.5);
  EXPECT_DOUBLE_EQ(each[0], 1);
  EXPECT_DOUBLE_EQ(each[2], 0);
}

}  // namespace
}  // namespace terrace
