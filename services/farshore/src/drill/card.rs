//! A drill's outcome as people read it.

use super::judge::Judgement;
use crate::cli::{millis, summary};
use crate::table::Table;
use dr_planner::drill::Verdict;

/// The scorecard.
pub(super) fn render(judgement: &Judgement) -> String {
    let mut table = Table::new(["check", "verdict", "what was seen"]);
    for check in &judgement.scorecard.checks {
        table.row([check.name.clone(), word(check.verdict).to_owned(), check.detail.clone()]);
    }
    let figures = &judgement.figures;
    let told = judgement.report.as_ref().map(summary).unwrap_or_default();
    format!(
        "\n{told}\n{}\nwritten {} records, acknowledged {}, missing {} (declared {}), unclear {}, redelivered {}\nwrite \
         gap {}\n{}: {}\n",
        table.render(),
        figures.sent,
        figures.acked,
        judgement.scorecard.missing,
        figures.declared_lost,
        figures.unclear,
        figures.redelivered,
        judgement.write_gap_ms.map_or_else(|| "unknown".to_owned(), millis),
        judgement.scorecard.drill,
        word(judgement.scorecard.verdict),
    )
}

pub(super) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Unknown => "UNKNOWN",
        Verdict::Fail => "FAIL",
    }
}
