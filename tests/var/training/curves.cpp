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
  const std::string header = curves_csv_header(2), bare = curves_csv_row(r, 2);
  EXPECT_EQ(header,
            "step,epoch,loss,accuracy,held_out_loss,held_out_accuracy,held_out_images,lr,weight_decay,gradient_norm,"
            "start_gradient,level_gradient,seconds_per_step,peak_bytes,loss_scale_0,loss_scale_1,accuracy_scale_0,"
            "accuracy_scale_1,position_gradient_scale_0,position_gradient_scale_1");
  EXPECT_EQ(std::count(bare.begin(), bare.end(), ','), std::count(header.begin(), header.end(), ','));
  EXPECT_NE(bare.find("7,0,2,0,,,,0,0,0,0,0,,,1,3,,,,"), std::string::npos) << bare;
  EXPECT_EQ(curves_json(r).find("seconds_per_step"), std::string::npos);
  EXPECT_EQ(curves_json(r).find("held_out"), std::string::npos);
}

TEST(Curves, GiveARecordItsTimesBack) {
  VarStepRecord timed = bare_record();
  timed.seconds_per_step = 0.25;
  timed.peak_bytes = 1024;
  std::vector<VarStepRecord> log(2, bare_record());
  log[1].step = 8;
  restore_times(log, "not JSON\n{}\n" + curves_json(timed) + "\n{\"step\": 8}");
  EXPECT_EQ(log[0].seconds_per_step, 0.25);
  EXPECT_EQ(log[0].peak_bytes, 1024);
  EXPECT_EQ(log[1].seconds_per_step, 0);
}

TEST(Curves, OfTheTokenizerHaveAColumnAScale) {
  VqvaeStepRecord r;
  r.step = 3;
  r.loss = 0.5;
  r.usage = {0.25, 1};
  r.perplexity = {2, 3};
  EXPECT_EQ(curves_csv({r}),
            "step,loss,mse,vq_loss,psnr,lr,gradient_norm,revived,codes_used,usage_0,usage_1,perplexity_0,perplexity_1\n"
            "3,0.5,0,0,0,0,0,0,0,0.25,1,2,3\n");
}

TEST(Curves, FilesArePublishedWhole) {
  const TemporaryFolder folder;
  CurveFiles files(folder / "", 2);
  files.add(bare_record());
  files.publish();
  EXPECT_EQ(read_file(folder / "curves.csv"), curves_csv_header(2) + "\n" + curves_csv_row(bare_record(), 2) + "\n");
  EXPECT_EQ(read_file(folder / "curves.jsonl"), curves_json(bare_record()) + "\n");
}

}  // namespace
}  // namespace terrace
