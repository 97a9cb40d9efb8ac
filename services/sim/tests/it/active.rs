use sim::active::{Guard, Marker, Options, run, sweep};

/// How many runs there are at least; `cargo run --release -p sim -- active --seeds 5000` does more.
const SEEDS: u64 = 400;
/// How many seeds a guard is given to be missed.
const GUARD_SEEDS: u64 = 3_000;

#[test]
fn all_regions_come_to_the_same_and_everything_is_tried() {
    let (coverage, violations) = sweep(0..SEEDS, Options::default(), 5);
    let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "\n{}", lines.join("\n"));
    let missing: Vec<_> = coverage.missing_of(Marker::ALL).into_iter().map(Marker::name).collect();
    assert!(missing.is_empty(), "these never happened, so the runs say nothing of them: {missing:?}");
}

#[test]
fn the_same_seed_twice_is_the_same_to_the_last_byte() {
    for seed in 0..4 {
        let options = Options { seed, trace: true, without: None };
        let (once, again) = (run(options), run(options));
        assert!(once.trace.lines().count() > 100);
        assert!(once.trace == again.trace, "seed {seed}");
        assert_eq!((once.coverage, once.lost), (again.coverage, again.lost));
    }
}

#[test]
fn most_runs_write_plenty_and_some_of_it_conflicts() {
    let plenty = (0..30).filter(|seed| {
        let outcome = run(Options { seed: *seed, ..Options::default() });
        outcome.written > 100 && outcome.lost > 0
    });
    let plenty = plenty.count();
    assert!(plenty > 20, "only {plenty} of 30 runs wrote more than 100 records and had conflicts");
}

/// The first seed that goes wrong without `guard`, and how. With it the same seed goes well.
fn missed(guard: Guard) -> Option<(u64, &'static str)> {
    let (_, violations) = sweep(0..GUARD_SEEDS, Options { without: Some(guard), ..Options::default() }, 1);
    let violation = violations.into_iter().next()?;
    let with_it = run(Options { seed: violation.seed, ..Options::default() });
    assert_eq!(with_it.violation, None);
    Some((violation.seed, violation.invariant))
}

#[test]
fn without_any_one_guard_some_seed_breaks_a_promise() {
    let needless: Vec<_> = Guard::ALL
        .iter()
        .filter(|guard| match missed(**guard) {
            Some((seed, invariant)) => {
                println!("without {guard}: seed {seed} breaks {invariant}");
                false
            }
            None => true,
        })
        .map(|guard| guard.name())
        .collect();
    assert!(needless.is_empty(), "no run of {GUARD_SEEDS} misses these guards: {needless:?}");
}
