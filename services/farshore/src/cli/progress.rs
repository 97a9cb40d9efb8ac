//! Bars and spinners on long work. They go to the error stream and only to a terminal, so that output stays clean.

use api::backups::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

/// A spinner that says what is being waited for.
pub(crate) fn spinner(message: impl Into<String>) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = style {
        spinner.set_style(style);
    }
    spinner.set_message(message.into());
    spinner.enable_steady_tick(TICK);
    spinner
}

/// A bar over bytes.
pub(super) fn byte_bar(message: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} to go");
    let bar = ProgressBar::new(0);
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(message.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}

/// Shows how far the work is.
pub(super) fn advance(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.bytes_total);
    bar.set_position(progress.bytes_done);
}

/// A bar over the steps of a run.
pub(super) fn step_bar(message: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix} [{bar:20}] {pos}/{len} {msg} {elapsed}");
    let bar = ProgressBar::new(0);
    if let Ok(style) = style {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(message.to_owned());
    bar.enable_steady_tick(TICK);
    bar
}
