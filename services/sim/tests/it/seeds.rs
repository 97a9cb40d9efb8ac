use sim::{Options, run, sweep};

/// How many runs there are at least.
const SEEDS: u64 = 2_500;

#[test]
fn no_seed_breaks_an_invariant_and_everything_is_tried() {
    let (coverage, violations) = sweep(0..SEEDS, Options::default(), 5);
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "\n{}", lines.join("\n"));
    let missing: Vec<_> = coverage.missing().into_iter().map(sim::Marker::name).collect();
    assert!(missing.is_empty(), "these never happened, so the runs say nothing of them: {missing:?}");
}

#[test]
fn most_runs_acknowledge_plenty() {
    let acked = (0..100).filter(|seed| run(Options { seed: *seed, ..Options::default() }).acked > 20).count();
    assert!(acked > 60, "only {acked} of 100 runs had more than 20 acknowledged records");
}
