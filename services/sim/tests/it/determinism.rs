use sim::{Options, run};

#[test]
fn the_same_seed_twice_is_the_same_to_the_last_byte() {
    for seed in 0..40 {
        let options = Options { seed, trace: true, without: None };
        let (once, again) = (run(options), run(options));
        assert!(once.trace.lines().count() > 100);
        assert_eq!(once.trace, again.trace, "seed {seed}");
        assert_eq!((once.coverage, once.events), (again.coverage, again.events));
    }
}

#[test]
fn another_seed_is_another_run() {
    let of = |seed| run(Options { seed, trace: true, without: None }).trace;
    assert_ne!(of(1), of(2));
}

#[test]
fn writing_the_trace_changes_nothing() {
    let of = |trace| run(Options { seed: 3, trace, without: None }).events;
    assert_eq!(of(true), of(false));
}
