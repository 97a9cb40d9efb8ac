//! Medians, ratios and goals, as tables or as JSON.

use crate::cluster;
use serde::Serialize;

/// What was measured of one subject in one round; 0 where it does not apply.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) first_ack_ms: f64,
    pub(crate) idle_mb: f64,
    pub(crate) busy_mb: f64,
    pub(crate) produce_mb_s: f64,
    pub(crate) produce_cpu_s_per_gb: f64,
    pub(crate) consume_mb_s: f64,
    pub(crate) consume_cpu_s_per_gb: f64,
}

/// What a figure is called, and where it stands among the figures.
type Column<F> = (&'static str, fn(&F) -> f64);

const CLUSTER_COLUMNS: [Column<cluster::Figures>; 5] = [
    ("produce MB/s", |f| f.produce_mb_s),
    ("CPU s/GB", |f| f.produce_cpu_s_per_gb),
    ("p99 ms", |f| f.p99_ms),
    ("busy MB", |f| f.busy_mb),
    ("gap ms", |f| f.gap_ms),
];

const COLUMNS: [Column<Figures>; 7] = [
    ("produce MB/s", |f| f.produce_mb_s),
    ("CPU s/GB", |f| f.produce_cpu_s_per_gb),
    ("consume MB/s", |f| f.consume_mb_s),
    ("CPU s/GB", |f| f.consume_cpu_s_per_gb),
    ("first ack ms", |f| f.first_ack_ms),
    ("idle MB", |f| f.idle_mb),
    ("busy MB", |f| f.busy_mb),
];

/// All rounds of all subjects.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) kafka: Vec<Figures>,
    pub(crate) os: Vec<Figures>,
    pub(crate) ack: Vec<Figures>,
    pub(crate) null: Vec<Figures>,
    pub(crate) direct: Vec<Figures>,
    pub(crate) gateway: Vec<Figures>,
    pub(crate) kafka_cluster: Vec<cluster::Figures>,
    pub(crate) cluster: Vec<cluster::Figures>,
}

/// Something promised, and what was found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goal {
    what: &'static str,
    found: f64,
    /// At least this, or at most.
    bound: f64,
    at_least: bool,
    unit: &'static str,
}

impl Goal {
    /// At least `bound`, or with `at_least` unset at most.
    pub(crate) const fn new(what: &'static str, found: f64, at_least: bool, bound: f64, unit: &'static str) -> Self {
        Self { what, found, bound, at_least, unit }
    }

    /// One line.
    pub(crate) fn line(&self) -> String {
        let met = if self.is_met() { "met   " } else { "MISSED" };
        let bound = if self.at_least { ">=" } else { "<=" };
        format!("{met} {:52} {:8.2} {} ({bound} {:.2})\n", self.what, self.found, self.unit, self.bound)
    }

    pub(crate) fn is_met(&self) -> bool {
        if self.at_least { self.found >= self.bound } else { self.found <= self.bound }
    }
}

impl Results {
    fn subjects(&self) -> [(&'static str, &[Figures]); 6] {
        [
            ("Apache Kafka", &self.kafka),
            ("farshore, flush=os", &self.os),
            ("farshore, flush before ack", &self.ack),
            ("throws everything away", &self.null),
            ("platform, direct", &self.direct),
            ("platform, gateway", &self.gateway),
        ]
    }

    /// Every goal for which there are figures.
    pub(crate) fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        let mut goal = |what, found: Option<f64>, at_least, bound: Option<f64>, unit| {
            if let (Some(found), Some(bound)) = (found, bound) {
                goals.push(Goal { what, found, bound, at_least, unit });
            }
        };
        let over = |ours: &[Figures], theirs: &[Figures], figure: fn(&Figures) -> f64| {
            Some(median(ours, figure)? / median(theirs, figure)?)
        };
        let (kafka, os, ack) = (&self.kafka, &self.os, &self.ack);
        let bar = self.produce_bar();
        goal("produce, flush=os / Apache Kafka", over(os, kafka, |f| f.produce_mb_s), true, bar, "x");
        goal("produce, flush before ack / Apache Kafka", over(ack, kafka, |f| f.produce_mb_s), true, Some(1.0), "x");
        goal("consume / Apache Kafka", over(os, kafka, |f| f.consume_mb_s), true, Some(1.0), "x");
        goal("CPU per GB produced / Apache Kafka", over(os, kafka, |f| f.produce_cpu_s_per_gb), false, Some(0.5), "x");
        goal("CPU per GB consumed / Apache Kafka", over(os, kafka, |f| f.consume_cpu_s_per_gb), false, Some(1.0), "x");
        goal("start to first ack / Apache Kafka", over(ack, kafka, |f| f.first_ack_ms), false, Some(0.1), "x");
        goal("idle memory", median(ack, |f| f.idle_mb), false, Some(40.0), "MB");
        let (gateway, direct) = (&self.gateway, &self.direct);
        goal("produce, gateway / direct", over(gateway, direct, |f| f.produce_mb_s), true, Some(0.7), "x");
        goal("consume, gateway / direct", over(gateway, direct, |f| f.consume_mb_s), true, Some(0.7), "x");
        goals.extend(self.cluster_goals());
        goals
    }

    /// Three brokers, three replicas, acks=all; ours flush before they acknowledge, Apache Kafka's do not.
    fn cluster_goals(&self) -> Vec<Goal> {
        let over = |figure: fn(&cluster::Figures) -> f64| {
            Some(median(&self.cluster, figure)? / median(&self.kafka_cluster, figure)?)
        };
        let kafka = median(&self.kafka_cluster, |f| f.produce_mb_s);
        let ceiling = |kafka| median(&self.null, |f| f.produce_mb_s).map_or(f64::INFINITY, |null| 0.8 * null / kafka);
        let bar = kafka.map_or(1.5, |kafka| ceiling(kafka).min(1.5));
        let wanted: [(&'static str, Option<f64>, bool, f64); 5] = [
            ("three brokers: produce / Apache Kafka", over(|f| f.produce_mb_s), true, bar),
            ("three brokers: p99 at half load / Apache Kafka", over(|f| f.p99_ms), false, 2.0),
            ("three brokers: memory / Apache Kafka", over(|f| f.busy_mb), false, 0.2),
            ("three brokers: CPU per GB / Apache Kafka", over(|f| f.produce_cpu_s_per_gb), false, 0.5),
            ("three brokers: gap at a leader's end / Apache Kafka", over(|f| f.gap_ms), false, 0.4),
        ];
        let goal = |(what, found, at_least, bound): (_, Option<f64>, _, _)| {
            found.map(|found| Goal { what, found, bound, at_least, unit: "x" })
        };
        wanted.into_iter().filter_map(goal).collect()
    }

    /// 1.5 times Apache Kafka, or 80 % of what the client can do at all, whichever is lower.
    fn produce_bar(&self) -> Option<f64> {
        let kafka = median(&self.kafka, |f| f.produce_mb_s)?;
        let ceiling = median(&self.null, |f| f.produce_mb_s).map_or(f64::INFINITY, |null| 0.8 * null / kafka);
        Some(ceiling.min(1.5))
    }
}

fn median<F>(rounds: &[F], figure: fn(&F) -> f64) -> Option<f64> {
    let mut values: Vec<f64> = rounds.iter().map(figure).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        len if len % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Prints everything to standard output.
pub(crate) fn print(results: &Results, json: bool) -> anyhow::Result<()> {
    if json {
        let goals: Vec<_> = results.goals().into_iter().map(|goal| (goal.is_met(), goal)).collect();
        let goals: Vec<_> = goals.iter().map(|(met, goal)| serde_json::json!({"met": met, "goal": goal})).collect();
        println!("{}", serde_json::to_string_pretty(&serde_json::json!({"rounds": results, "goals": goals}))?);
    } else {
        print!("{}", table(results));
    }
    Ok(())
}

fn table(results: &Results) -> String {
    let clusters =
        [("Apache Kafka x 3", &results.kafka_cluster[..]), ("farshore x 3, flush before ack", &results.cluster)];
    let mut text = rows("median of the rounds", &results.subjects(), &COLUMNS);
    text += &rows("three brokers, acks=all", &clusters, &CLUSTER_COLUMNS);
    for goal in results.goals() {
        text += &goal.line();
    }
    text
}

/// One table; nothing when nothing was measured.
fn rows<F>(title: &str, subjects: &[(&str, &[F])], columns: &[Column<F>]) -> String {
    let measured: Vec<_> = subjects.iter().filter(|(_, rounds)| !rounds.is_empty()).collect();
    if measured.is_empty() {
        return String::new();
    }
    let mut text = format!("{title:31}");
    columns.iter().for_each(|(name, _)| text += &format!("{name:>14}"));
    for (subject, rounds) in measured {
        text += &format!("\n{subject:31}");
        for (_, figure) in columns {
            let value = median(rounds, *figure).filter(|value| *value > 0.0);
            text += &value.map_or_else(|| format!("{:>14}", "-"), |value| format!("{value:>14.2}"));
        }
    }
    text + "\n\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producing(rates: &[f64]) -> Vec<Figures> {
        rates.iter().map(|rate| Figures { produce_mb_s: *rate, ..Figures::default() }).collect()
    }

    #[test]
    fn the_median_counts() {
        assert_eq!(median(&producing(&[3.0, 100.0, 5.0]), |f| f.produce_mb_s), Some(5.0));
        assert_eq!(median(&producing(&[3.0, 5.0]), |f| f.produce_mb_s), Some(4.0));
        assert_eq!(median(&[], |f: &Figures| f.produce_mb_s), None);
    }

    #[test]
    fn the_bar_for_produce_is_what_the_client_can_reach() {
        let mut results = Results { kafka: producing(&[400.0]), os: producing(&[440.0]), ..Results::default() };
        assert_eq!(results.produce_bar(), Some(1.5));
        assert!(!results.goals()[0].is_met());
        results.null = producing(&[500.0]);
        assert_eq!(results.produce_bar(), Some(1.0));
        assert!(results.goals()[0].is_met());
    }

    #[test]
    fn only_what_was_measured_is_judged() {
        let results = Results { kafka: producing(&[400.0]), null: producing(&[500.0]), ..Results::default() };
        assert!(results.goals().is_empty());
        assert!(table(&results).contains("Apache Kafka"));
    }
}
