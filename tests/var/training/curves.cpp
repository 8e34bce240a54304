#include "var/training/curves.h"

#include <algorithm>

#include "data/files/atomic_file.h"
#include "tests/support.h"

namespace terrace {
namespace {

VarStepRecord bare_record() {
  VarStepRecord r;
  r.step = 7;
  r.loss = 2;
  r.scale_loss = {1, 3};
  return r;
}

TEST(Curves, LeaveOutWhatWasNotMeasured) {
  const VarStepRecord r = bare_record();
  const std::string header = curves_csv_header<VarStepRecord>(2), bare = curves_csv_row(r, 2);
  EXPECT_EQ(header,
            "step,epoch,loss,accuracy,held_out_loss,held_out_accuracy,held_out_images,frechet_distance,lr,weight_decay,"
            "gradient_norm,start_gradient,level_gradient,seconds_per_step,peak_bytes,loss_scale_0,loss_scale_1,"
            "accuracy_scale_0,accuracy_scale_1,held_out_loss_scale_0,held_out_loss_scale_1,position_gradient_scale_0,"
            "position_gradient_scale_1");
  EXPECT_EQ(std::count(bare.begin(), bare.end(), ','), std::count(header.begin(), header.end(), ','));
  EXPECT_NE(bare.find("7,0,2,0,,,,,0,0,0,0,0,,,1,3,,,,,,"), std::string::npos) << bare;
  EXPECT_EQ(curves_json(r).find("seconds_per_step"), std::string::npos);
  EXPECT_EQ(curves_json(r).find("held_out"), std::string::npos);
}

TEST(Curves, GiveARecordBackWhatCheckpointsDoNotKeep) {
  VarStepRecord timed = bare_record();
  timed.seconds_per_step = 0.25;
  timed.peak_bytes = 1024;
  timed.frechet_distance = 0;
  std::vector<VarStepRecord> log(2, bare_record());
  log[1].step = 8;
  restore_from_curves(log, "not JSON\n{}\n" + curves_json(timed) + "\n{\"step\": 8}", "curves.jsonl");
  EXPECT_EQ(log[0].seconds_per_step, 0.25);
  EXPECT_EQ(log[0].peak_bytes, 1024);
  EXPECT_EQ(log[0].frechet_distance, 0);
  EXPECT_EQ(log[1].seconds_per_step, 0);
  EXPECT_EQ(log[1].frechet_distance, -1);
}

TEST(Curves, OfTheTokenizerHaveTheEvaluationInTheRowOfItsStep) {
  VqvaeStepRecord r;
  r.step = 3;
  r.epoch = 1.5;
  r.loss = 0.5;
  r.usage = {0.25, 1};
  r.perplexity = {2, 3};
  EXPECT_EQ(curves_csv_header<VqvaeStepRecord>(2),
            "step,epoch,loss,mse,l1,edge,vq_loss,psnr,held_out_mse,held_out_psnr,held_out_codes_used,held_out_images,"
            "frechet_distance,lr,gradient_norm,revived,codes_used,seconds_per_step,peak_bytes,usage_scale_0,"
            "usage_scale_1,perplexity_scale_0,perplexity_scale_1,held_out_usage_scale_0,held_out_usage_scale_1,"
            "held_out_perplexity_scale_0,held_out_perplexity_scale_1");
  EXPECT_EQ(curves_csv_row(r, 2), "3,1.5,0.5,0,0,0,0,0,,,,,,0,0,0,0,,,0.25,1,2,3,,,,");
  VqvaeEvaluation e;
  e.step = 3;
  e.images = 8;
  e.mse = 0.25;
  e.psnr = 6;
  e.codes_used = 0.75;
  e.usage = {0.5, 0.125};
  e.perplexity = {1, 9};
  e.frechet_distance = 4;
  attach(e, r);
  EXPECT_EQ(curves_csv_row(r, 2), "3,1.5,0.5,0,0,0,0,0,0.25,6,0.75,8,4,0,0,0,0,,,0.25,1,2,3,0.5,0.125,1,9");
  EXPECT_NE(curves_json(r).find("\"held_out_psnr\":6.0"), std::string::npos) << curves_json(r);
}

/// A figure that both trainers log has one name; what is measured per scale ends alike.
TEST(Curves, ColumnsOfBothTrainersHaveTheSameNames) {
  const std::string var = "," + curves_csv_header<VarStepRecord>(1) + ",";
  const std::string vqvae = "," + curves_csv_header<VqvaeStepRecord>(1) + ",";
  for (const char* name : {"step", "epoch", "loss", "held_out_images", "frechet_distance", "lr", "gradient_norm",
                           "seconds_per_step", "peak_bytes"}) {
    EXPECT_NE(var.find(cat(",", name, ",")), std::string::npos) << name;
    EXPECT_NE(vqvae.find(cat(",", name, ",")), std::string::npos) << name;
  }
}

TEST(Curves, FilesArePublishedWhole) {
  const TemporaryFolder folder;
  CurveFiles<VarStepRecord> files(folder / "", 2);
  files.add(bare_record());
  files.publish();
  EXPECT_EQ(read_file(folder / "curves.csv"),
            curves_csv_header<VarStepRecord>(2) + "\n" + curves_csv_row(bare_record(), 2) + "\n");
  EXPECT_EQ(read_file(folder / "curves.jsonl"), curves_json(bare_record()) + "\n");
}

TEST(Curves, ARecordOfTheSameStepReplacesTheLastAndKeepsItsTimes) {
  const TemporaryFolder folder;
  VarStepRecord first = bare_record(), timed = bare_record(), evaluated = bare_record();
  first.step = timed.step - 1;
  timed.seconds_per_step = 0.5;
  evaluated.frechet_distance = 7;
  CurveFiles<VarStepRecord> files(folder / "", 2);
  files.add(first);
  files.add(timed);
  const VarStepRecord both = files.add(evaluated);
  EXPECT_EQ(both.seconds_per_step, 0.5);
  EXPECT_EQ(both.frechet_distance, 7);
  files.publish();
  EXPECT_EQ(read_file(folder / "curves.csv"), curves_csv_header<VarStepRecord>(2) + "\n" + curves_csv_row(first, 2) +
                                                  "\n" + curves_csv_row(both, 2) + "\n");
  EXPECT_EQ(read_file(folder / "curves.jsonl"), curves_json(first) + "\n" + curves_json(both) + "\n");
}

TEST(Curves, FilesOfAResumedRunKeepTheTimesOfThoseBefore) {
  const TemporaryFolder folder;
  VarStepRecord timed = bare_record();
  timed.seconds_per_step = 0.5;
  {
    CurveFiles<VarStepRecord> files(folder / "", 2);
    files.add(timed);
    files.publish();
  }
  CurveFiles<VarStepRecord> files(folder / "", 2);
  EXPECT_EQ(files.add_earlier({}).step, 0);
  EXPECT_EQ(files.add_earlier({bare_record()}).seconds_per_step, 0.5);
  files.publish();
  EXPECT_EQ(read_file(folder / "curves.csv"),
            curves_csv_header<VarStepRecord>(2) + "\n" + curves_csv_row(timed, 2) + "\n");
}

TEST(Curves, ALineThatWasEditedOrIsDamagedIsPassedOver) {
  VarStepRecord timed = bare_record();
  timed.seconds_per_step = 0.5;
  const std::string line = curves_json(timed);
  std::string other = line;
  other[other.find("0.5")] = '7';
  for (const auto& [text, seconds] : {std::pair{line, 0.5}, std::pair{other, bare_record().seconds_per_step}}) {
    std::vector<VarStepRecord> log = {bare_record()};
    testing::internal::CaptureStderr();
    restore_from_curves(log, text, "run/curves.jsonl");
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(log[0].seconds_per_step, seconds) << text;
    EXPECT_EQ(said.find("note: run/curves.jsonl: a line was edited or is damaged; the times and distances in it are "
                        "left out\n") != std::string::npos,
              text == other);
  }
}

}  // namespace
}  // namespace terrace
