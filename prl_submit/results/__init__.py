"""What a training achieved: its metrics, its health in words, its speed, and runs side by side.

This room reads the files of a run directory: logging.jsonl, completions.jsonl, args.json, plan.json and
exit.json. It asks no backend and no clock, so the same files always give the same answer.

From files to metrics:
    line_reader.py          the lines that were added to a growing file since the last look
    logged_values.py        the values and lines of ms-swift's files, in all forms that its releases write
    metric_names.py         one name for each metric
    step_lines.py           a line of logging.jsonl as data
    step_table.py           columns of metrics by step, in bounded memory
    attempt_clock.py        how many seconds each step took
    repeated_steps.py       the steps that a later attempt trained again
    completions.py          the lines of completions.jsonl
    rewards_by_step.py      rewards from completions.jsonl that logging.jsonl does not have
    run_metrics.py          all of this together
    metrics_reader.py       reads it from a run directory
    run_settings.py         the settings of a training; planned_settings.py: quickly, those of plan.json alone
What the metrics mean:
    health.py               hints on what is not as it should be
    timing.py               the speed, the time left and the end
    phase.py                what a training does before its first step, and between its steps
    failure_log.py          the end of the log of a run that has failed
    estimate.py             how many steps a job will train, before it is started
What commands show:
    overview.py             the few numbers of `status` and `list`; overview_text.py: bars and dates
    run_status.py           a run with its training: what `status --json` prints
    run_result.py           a run with all its metrics, for `compare` and `report`
    setting_differences.py  the settings in which runs differ
    comparison.py           runs side by side; comparison_tables.py: as tables
    completion_texts.py     completions one by one
    step_words.py           a step in one short line, for `logs -f`
    sparkline.py            a curve in one line
    time_words.py           numbers and times in few words
"""
