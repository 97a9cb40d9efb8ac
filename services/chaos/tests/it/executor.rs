//! The process that carries out a run dies at a boundary of it: before and after a start is written down, between an effect
//! and its event, and behind the event. With a quorum left another node finishes the run; without one it stands still, and
//! goes on when the dead process is back. Whatever happens, every order has one effect in the region it went to.
//!
//! A few boundaries of each story are played; FARSHORE_CHAOS_ALL=1 plays all of them, and FARSHORE_CHAOS_BOUNDARIES those it
//! names, for example `seal:after-effect,finish:after-outcome`.

mod scene;

use scene::{Move, Scene};
use std::env;
use std::sync::Mutex;
use std::thread;

/// A boundary: a step (or `finish`, the end of the run) and a point of it, as FARSHORE_FAILPOINT names them.
type Boundary = (&'static str, &'static str);

const SWITCHOVER: &[&str] = &["stop-writes", "catch-up", "pivot", "open", "redirect", "verify"];
const FAILOVER: &[&str] = &["revoke", "wait-out-lease", "collect", "seal", "pivot", "open", "redirect", "verify"];
/// How many platforms run at a time when more boundaries are played than usual.
const AT_A_TIME: usize = 2;

/// What lies before the start of a step is what lies behind the outcome of the one before.
fn boundaries(steps: &[&'static str]) -> Vec<Boundary> {
    let within = ["after-started", "after-effect", "after-outcome"];
    let of_steps = steps.iter().flat_map(|step| within.map(|point| (*step, point)));
    let ends = [(steps[0], "before-started"), ("finish", "before-started"), ("finish", "after-outcome")];
    of_steps.chain(ends).collect()
}

/// The boundaries of `steps` that the environment asks for: `few` when it says nothing.
fn chosen(steps: &[&'static str], few: &[Boundary]) -> Vec<Boundary> {
    let all = env::var("FARSHORE_CHAOS_ALL").is_ok_and(|all| all == "1");
    match env::var("FARSHORE_CHAOS_BOUNDARIES") {
        Ok(named) => {
            let is_named = |(step, point): &Boundary| named.split(',').any(|name| name == format!("{step}:{point}"));
            boundaries(steps).into_iter().filter(is_named).collect()
        }
        Err(_) if all => boundaries(steps),
        Err(_) => few.to_vec(),
    }
}

/// Plays `story` at every boundary chosen, whatever came of the others.
fn play(steps: &[&'static str], few: &[Boundary], story: impl Fn(Boundary) + Sync) {
    let boundaries = chosen(steps, few);
    let at_a_time = if boundaries.len() > few.len() { AT_A_TIME } else { 1 };
    let (count, todo, failed) = (boundaries.len(), Mutex::new(boundaries), Mutex::new(Vec::new()));
    let next = || todo.lock().unwrap().pop();
    let work = || {
        while let Some((step, point)) = next() {
            let played = thread::scope(|scope| scope.spawn(|| story((step, point))).join().is_ok());
            println!("{step}:{point}: {}", if played { "ok" } else { "FAILED" });
            if !played {
                failed.lock().unwrap().push(format!("{step}:{point}"));
            }
        }
    };
    thread::scope(|scope| (0..at_a_time).for_each(|_| drop(scope.spawn(work))));
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {count} boundaries failed: {failed:?}", failed.len());
    println!("{count} boundaries passed");
}

#[test]
fn a_switchover_is_finished_by_another_node() {
    let few = [("stop-writes", "after-effect"), ("pivot", "after-effect")];
    play(SWITCHOVER, &few, |boundary| {
        let mut scene = Scene::until_the_executor_dies(3, Move::Switchover, boundary);
        scene.wait_until_the_run_has_succeeded();
        scene.check_who_finished();
        scene.check_effects(&[("stop-writes", "r1"), ("catch-up", "r2"), ("open", "r2")]);
        scene.heal();
    });
}

#[test]
fn a_failover_with_five_regions_is_finished_by_another_node() {
    let few = [("seal", "after-effect")];
    play(FAILOVER, &few, |boundary| {
        let mut scene = Scene::until_the_executor_dies(5, Move::Failover, boundary);
        scene.wait_until_the_run_has_succeeded();
        scene.check_who_finished();
        scene.check_effects(&[("collect", "r2"), ("seal", "r2"), ("open", "r2")]);
        scene.heal();
    });
}

#[test]
fn a_failover_with_three_regions_stands_still_until_the_executor_is_back() {
    let few = [("open", "after-effect")];
    play(FAILOVER, &few, |boundary| {
        let mut scene = Scene::until_the_executor_dies(3, Move::Failover, boundary);
        scene.check_standstill();
        scene.raise_the_executor();
        scene.wait_until_the_run_has_succeeded();
        scene.check_effects(&[("collect", "r2"), ("seal", "r2"), ("open", "r2")]);
        scene.heal();
    });
}
