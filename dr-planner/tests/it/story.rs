//! A small language for stories about a platform. One command a line; `#` begins a comment, which is told as it stands.
//!
//! ```text
//! platform r1 r2 r3            the default group, owned by r1
//! at 12s                       it is now so late
//! hears r2 r1                  observer r2 hears r1
//! silent r2 r1 3s              observer r2 has not heard r1 for so long
//! abstains r2 r1               observer r2 cannot say
//! link r1 r2 silent 3s lag 40 4000 0.8    records, bytes, seconds
//! unusable r1 r2 must_rebuild  a copy is none
//! down r1 | full r2            r1 says nothing any more; a disk of r2 is full
//! no-quorum                    the council has no leader
//! automatic off                the group's policy
//! decide | assess | acknowledge
//! plan failover [r3]
//! fails seal refused [3]       from now on, so many times: refused fatal lost unheard
//! run [N]                      to its end, or N turns
//! cancel | abandon
//! returned 10 | returned 0     the old log is back with so many records above the common end, in each partition
//! report
//! ```

use crate::platform::*;
use crate::world::*;
use dr_planner::assess::{Choosable, assess};
use dr_planner::audit::audit;
use dr_planner::health::*;
use dr_planner::inventory::{Inventory, LinkFacts};
use dr_planner::plan::*;
use dr_planner::policy::{Group, default_group};
use dr_planner::report::{Evidence, ReturnedTail, report};
use dr_planner::run::*;
use dr_planner::trigger::{Decision, Idle, Situation, decide};
use model::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::rc::Rc;

type Faults = Rc<RefCell<BTreeMap<String, (Fault, u32)>>>;

pub(crate) struct Story {
    now: Timestamp,
    policy: Group,
    inventory: Inventory,
    automatic: Automatic,
    faults: Faults,
    plan: Option<Plan>,
    executor: Option<Executor<'static>>,
    told_entries: usize,
    returned: Vec<ReturnedTail>,
    plans: u64,
    out: String,
}

fn millis(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap());
    let number: i64 = number.parse().unwrap();
    match unit {
        "ms" => number,
        "s" => number * 1000,
        "min" => number * 60_000,
        _ => panic!("{text}"),
    }
}

impl Story {
    pub(crate) fn play(script: &str) -> String {
        let mut story = Self {
            now: Timestamp(0),
            policy: policy(),
            inventory: inventory(),
            automatic: Automatic::default(),
            faults: Faults::default(),
            plan: None,
            executor: None,
            told_entries: 0,
            returned: vec![],
            plans: 0,
            out: String::new(),
        };
        story.at("0s");
        for line in script.lines() {
            story.line(line.trim());
        }
        story.out
    }

    fn tell(&mut self, line: impl AsRef<str>) {
        writeln!(self.out, "  {}", line.as_ref()).unwrap();
    }

    fn line(&mut self, line: &str) {
        writeln!(self.out, "{}{line}", if line.is_empty() || line.starts_with('#') { "" } else { "> " }).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [] | ["#", ..] => {}
            ["platform", ref names @ ..] => self.platform(names),
            ["at", time] => self.at(time),
            ["hears", observer, target] => self.observe(observer, target, Seen::Silent { for_ms: 100 }),
            ["silent", observer, target, time] => {
                self.observe(observer, target, Seen::Silent { for_ms: millis(time) as u64 });
            }
            ["abstains", observer, target] => self.observe(observer, target, Seen::Abstains),
            ["link", source, target, "silent", time, "lag", records, bytes, seconds] => {
                let now = self.now;
                let link = self.link(source, target);
                (link.observed_at, link.silent_ms) = (now, millis(time) as u64);
                (link.lag_records, link.lag_bytes) = (records.parse().unwrap(), bytes.parse().unwrap());
                link.lag_seconds = seconds.parse().unwrap();
            }
            ["unusable", source, target, state] => {
                let partition = TopicPartition { topic: TopicName::new("orders").unwrap(), partition: PartitionId(0) };
                self.link(source, target).unusable = vec![(partition, state.to_owned())];
            }
            ["down", name] => self.facts(name).observed_at = Timestamp(-1),
            ["full", name] => self.facts(name).disk_full = true,
            ["no-quorum"] => self.inventory.council.leader = None,
            ["automatic", switch] => self.policy.automatic_failover = switch == "on",
            ["acknowledge"] => self.automatic.acknowledged_at = Some(self.now),
            ["decide"] => self.decide(),
            ["assess"] => self.assess(),
            ["plan", kind] => self.make_plan(kind, None),
            ["plan", kind, target] => self.make_plan(kind, Some(region(target))),
            ["fails", step, fault] => self.fails(step, fault, u32::MAX),
            ["fails", step, fault, times] => self.fails(step, fault, times.parse().unwrap()),
            ["run"] => self.run(usize::MAX),
            ["run", turns] => self.run(turns.parse().unwrap()),
            ["cancel"] => self.cancel(Cancel::Unwind, "ann".to_owned()),
            ["abandon"] => self.cancel(Cancel::Abandon, "ann".to_owned()),
            ["returned", records] => self.return_tails(records.parse().unwrap()),
            ["report"] => self.report(),
            _ => panic!("{line}"),
        }
    }

    fn platform(&mut self, names: &[&str]) {
        let regions: Vec<_> = names.iter().map(|name| region(name)).collect();
        self.policy = default_group(&regions).unwrap();
        self.inventory.regions.retain(|facts| regions.contains(&facts.region));
        self.inventory.links.retain(|link| regions.contains(&link.target));
        self.inventory.grants[0].standbys = self.policy.standbys_of(&regions[0]);
        self.inventory.council.members = regions;
        if names.len().is_multiple_of(2) {
            self.inventory.council.members.push(region("witness"));
        }
    }

    /// Time passes; whoever was there stays there, but what observers and links said gets old.
    fn at(&mut self, time: &str) {
        self.now = Timestamp(millis(time));
        self.inventory.observed_at = self.now;
        let up = self.inventory.regions.iter_mut().filter(|facts| facts.observed_at.0 >= 0);
        up.for_each(|facts| facts.observed_at = self.now);
        if let Some(executor) = &mut self.executor {
            executor.now = executor.now.max(self.now);
        }
    }

    fn facts(&mut self, name: &str) -> &mut dr_planner::inventory::RegionFacts {
        let name = region(name);
        self.inventory.regions.iter_mut().find(|facts| facts.region == name).unwrap()
    }

    fn link(&mut self, source: &str, target: &str) -> &mut LinkFacts {
        let (source, target) = (region(source), region(target));
        self.inventory.links.iter_mut().find(|link| link.source == source && link.target == target).unwrap()
    }

    fn observe(&mut self, observer: &str, target: &str, seen: Seen) {
        let (observer, target) = (region(observer), region(target));
        self.inventory.observations.retain(|old| old.observer != observer || old.target != target);
        self.inventory.observations.push(Observation { observer, target, observed_at: self.now, seen });
    }

    fn detections(&self) -> Vec<(RegionName, Detection)> {
        let names = self.inventory.regions.iter().map(|facts| facts.region.clone());
        names.map(|name| (name.clone(), detect(&self.inventory, &name))).collect()
    }

    fn decide(&mut self) {
        let detections = self.detections();
        for (name, detection) in &detections {
            self.tell(format!("{name}: {}", serde_json::to_string(detection).unwrap()));
        }
        let last = self.plan.as_ref().map(|plan| (&plan.id, plan.generation));
        let running = self.executor.as_ref().map(|executor| &executor.machine);
        let situation = Situation {
            policy: &self.policy,
            detections: &detections,
            conditions: &[],
            automatic: &self.automatic,
            running: running.filter(|machine| !machine.state().is_terminal()),
            last,
        };
        let decision = decide(&self.inventory, &situation, self.next_id(), self.now);
        match decision {
            Decision::Leave(idle) => self.tell_idle(&idle),
            Decision::Start(plan) => {
                self.tell("start:");
                self.automatic.actions.push(AutomaticAction { at: self.now, moved: false });
                self.take_plan(*plan);
            }
            Decision::Abandon { reason } => {
                self.tell(format!("abandon: {reason}"));
                self.cancel(Cancel::Abandon, reason);
            }
        }
    }

    fn tell_idle(&mut self, idle: &Idle) {
        self.tell(format!("leave: {idle}"));
    }

    fn assess(&mut self) {
        for choice in assess(&self.inventory, &self.policy).unwrap().choices {
            let option = match &choice.option {
                Choosable::Wait => "wait".to_owned(),
                Choosable::Move { kind, target } => format!("{kind} to {target}"),
            };
            let loss = choice.loss.map_or("unknown loss".to_owned(), |loss| {
                format!("loses {} records, {} bytes, {} s", loss.records, loss.bytes, loss.seconds)
            });
            let time = choice.time_ms.map_or("nobody knows when".to_owned(), |time| format!("{time} ms"));
            let met = |met: Option<bool>| met.map_or("?", |met| if met { "met" } else { "missed" });
            self.tell(format!("{option}: {loss} (rpo {}), {time} (rto {})", met(choice.rpo_met), met(choice.rto_met)));
            for refusal in choice.refusals {
                self.tell(format!("  refused: {refusal}"));
            }
        }
    }

    fn next_id(&self) -> PlanId {
        PlanId(format!("p-{}", self.plans + 1))
    }

    fn make_plan(&mut self, kind: &str, target: Option<RegionName>) {
        let kind = match kind {
            "failover" => Kind::Failover,
            "switchover" => Kind::Switchover,
            "failback" => Kind::Failback,
            _ => Kind::Drill,
        };
        let request = Request { id: self.next_id(), target, ..request(kind) };
        match build(&self.inventory, &self.policy, request, self.now) {
            Ok(plan) => self.take_plan(plan),
            Err(refused) => self.tell(format!("refused: {refused}")),
        }
    }

    fn take_plan(&mut self, plan: Plan) {
        self.plans += 1;
        let parent = plan.parent.as_ref().map_or(String::new(), |parent| format!(", after {parent}"));
        let (from, to) = (plan.ownership_epoch, plan.new_epoch());
        self.tell(format!(
            "{} {} of {}: {} -> {}, epoch {from} -> {to}{parent}",
            plan.id, plan.kind, plan.group, plan.source, plan.target
        ));
        for step in &plan.steps {
            let action = serde_json::to_string(&step.action).unwrap();
            let undo = step
                .undo
                .as_ref()
                .map_or(String::new(), |undo| format!(" undo {}", serde_json::to_string(undo).unwrap()));
            let after: Vec<_> = step.after.iter().map(StepId::as_str).collect();
            let optional = if step.critical { "" } else { " may fail" };
            self.tell(format!("  {} {action} after {after:?}{undo}{optional}", step.id));
        }
        let findings = audit(&plan, &self.inventory, &self.policy);
        assert!(findings.is_empty(), "{findings:?}");
        self.start(plan);
    }

    fn start(&mut self, plan: Plan) {
        let faults = self.faults.clone();
        let fault = move |command: &Command| {
            let mut faults = faults.borrow_mut();
            let (fault, left) = faults.get_mut(command.token.as_str())?;
            *left = left.checked_sub(1)?;
            Some(*fault)
        };
        self.executor = Some(Executor::starting_at(self.now, plan.clone(), fault));
        self.inventory.busy = vec![plan.group.clone()];
        self.plan = Some(plan);
        (self.told_entries, self.returned) = (1, vec![]);
    }

    fn fails(&mut self, step: &str, fault: &str, times: u32) {
        let fault = match fault {
            "refused" => Fault::Refused,
            "fatal" => Fault::Fatal,
            "lost" => Fault::Lost,
            "unheard" => Fault::Unheard,
            _ => panic!("{fault}"),
        };
        self.faults.borrow_mut().insert(step.to_owned(), (fault, times));
    }

    fn run(&mut self, turns: usize) {
        let mut executor = self.executor.take().expect("a plan");
        for _ in 0..turns.min(1000) {
            if executor.turn().is_some() {
                break;
            }
        }
        self.executor = Some(executor);
        self.tell_entries();
    }

    fn cancel(&mut self, how: Cancel, reason: String) {
        let executor = self.executor.as_mut().expect("a run");
        executor.persist(Event::CancelRequested { reason, how });
        if how == Cancel::Abandon {
            executor.turn();
        }
        self.tell_entries();
    }

    fn tell_entries(&mut self) {
        let executor = self.executor.as_ref().unwrap();
        let (entries, state) = (executor.entries[self.told_entries..].to_vec(), executor.machine.state());
        let (start, moved) = (self.now, executor.machine.may_have_pivoted());
        self.told_entries = executor.entries.len();
        for entry in entries {
            self.tell(format!("+{} ms {}", entry.at.since(start).as_millis(), tell_event(&entry.event)));
        }
        self.tell(format!("state: {state:?}"));
        if let Some(action) = self.automatic.actions.last_mut() {
            action.moved = moved;
        }
        self.settle(state);
    }

    /// What the platform looks like when the run has come so far.
    fn settle(&mut self, state: State) {
        let executor = self.executor.as_ref().unwrap();
        let (owner, epoch, grant_state) = executor.world.grant.clone();
        let (open, source) = (executor.world.open.clone(), executor.plan.source.clone());
        let grant = &mut self.inventory.grants[0];
        grant.standbys = self.policy.standbys_of(&owner);
        (grant.owner, grant.ownership_epoch, grant.state) = (owner.clone(), epoch, grant_state);
        grant.openings.clone_from(&executor.world.openings);
        for facts in &mut self.inventory.regions {
            let serves = open.as_ref().is_some_and(|(name, at)| *name == facts.region && *at == epoch);
            (facts.holdings[0].owner, facts.holdings[0].open) = (facts.region == owner, serves);
        }
        if owner != source {
            self.relink(&owner);
        }
        if state.is_terminal() {
            self.inventory.busy.clear();
        }
    }

    /// Every other region copies from the new owner now.
    fn relink(&mut self, owner: &RegionName) {
        let Some(template) = self.inventory.links.first().cloned() else { return };
        if template.source == *owner {
            return;
        }
        let targets = self.inventory.regions.iter().map(|facts| facts.region.clone()).filter(|name| name != owner);
        let fresh = LinkFacts {
            source: owner.clone(),
            observed_at: self.now,
            silent_ms: 10,
            lag_records: 0,
            lag_bytes: 0,
            lag_seconds: 0.0,
            unusable: vec![],
            source_damaged: vec![],
            ..template
        };
        self.inventory.links = targets.map(|target| LinkFacts { target, ..fresh.clone() }).collect();
    }

    fn return_tails(&mut self, records: u64) {
        let plan = self.plan.clone().expect("a plan");
        for (topic, partition) in &plan.partitions {
            let diverged = DivergedTail {
                topic: *topic,
                partition: *partition,
                ownership_epoch: plan.ownership_epoch,
                range: OffsetRange::new(Offset(90), Offset(90 + records as i64)),
                records,
                bytes: records * 1000,
                first_time: Timestamp(plan.incident_at.0 - 500),
                last_time: plan.incident_at,
                file: format!("diverged/orders-{partition}-{}.log", plan.ownership_epoch),
            };
            self.returned.push(ReturnedTail {
                region: plan.source.clone(),
                topic: *topic,
                partition: *partition,
                ownership_epoch: plan.ownership_epoch,
                diverged: (records > 0).then_some(diverged),
            });
        }
    }

    fn report(&mut self) {
        let executor = self.executor.as_ref().expect("a run");
        let run = RunId::new("run-1").unwrap();
        let report = report(&Evidence {
            run: &run,
            plan: &executor.plan,
            entries: &executor.entries,
            policy: &self.policy,
            returned: &self.returned,
            recovered_at: None,
        });
        let show = |value: serde_json::Value| serde_json::to_string(&value).unwrap();
        self.tell(format!("outcome {:?}, {}", report.outcome, show(serde_json::to_value(&report.standing).unwrap())));
        self.tell(format!("times {}", show(serde_json::to_value(report.times).unwrap())));
        self.tell(format!("rto {:?} ms, met {:?}", report.rto_ms, report.rto_met));
        self.tell(format!("rpo {}, met {:?}", show(serde_json::to_value(report.rpo).unwrap()), report.rpo_met));
        for loss in &report.partitions {
            let archived =
                loss.archived.as_ref().map_or(String::new(), |archived| format!(", archived in {}", archived.file));
            let declared = loss.declared().map_or("unknown".to_owned(), |range| range.to_string());
            let known = if loss.tail_known { "tail known" } else { "tail as last heard of" };
            self.tell(format!(
                "  partition {}: declared lost {declared} ({known}), unproven {:?}, {} records{archived}",
                loss.partition,
                loss.unproven.map(|range| range.to_string()),
                loss.loss.records
            ));
        }
    }
}

fn tell_event(event: &Event) -> String {
    match event {
        Event::StepStarted { step, attempt } => format!("{step} #{attempt} started"),
        Event::StepSucceeded { step, .. } => format!("{step} done"),
        Event::StepFailed { step, error, .. } => format!("{step} failed: {error}"),
        Event::UndoStarted { step, attempt } => format!("undo of {step} #{attempt} started"),
        Event::UndoSucceeded { step } => format!("undo of {step} done"),
        Event::UndoFailed { step, error, .. } => format!("undo of {step} failed: {error}"),
        Event::CancelRequested { reason, how } => format!("cancelled ({how:?}): {reason}"),
        Event::Finished { outcome } => format!("finished: {outcome:?}"),
        other => other.name().to_owned(),
    }
}
