// What a study leaves in its folder, and when it goes on with what is there.
#pragma once

#include "experiments/cli/output_folder.h"
#include "experiments/study/config.h"

namespace terrace {

/// The files of a study with these options, and those of all runs that the study in the folder has already: earlier
/// versions did not list them in run.json.
OutputPlan study_output(const StudyConfig& config, const Options& options);

/// A study that is there is gone on with, unless --overwrite is given. A run.json alone is one too: of a study that was
/// stopped in its first moment, or of another program, which OutputFolder refuses.
IfThere study_if_there(const StudyConfig& config);

}  // namespace terrace
