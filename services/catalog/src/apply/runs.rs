use super::{Applied, Applying, check_text};
use crate::column::{number, signed, text, to_json, to_word, word};
use crate::command::{AppendRunEvent, StartRun};
use crate::{Answer, Refusal, limits};
use dr_planner::plan::Plan;
use dr_planner::report::{Report, Standing};
use dr_planner::run::{Event, State};
use model::RunId;
use sqlx::Row;

/// What decisions need of a row of `runs`.
struct RunRow {
    state: State,
    events: u64,
}

impl Applying<'_> {
    pub(super) async fn store_plan(&mut self, plan: &Plan) -> Applied<Answer> {
        let document = document("plan", plan)?;
        check_text("plan", &plan.id.0)?;
        let there: Option<String> = sqlx::query_scalar("SELECT document FROM plans WHERE id = ?")
            .bind(&plan.id.0)
            .fetch_optional(&mut *self.connection)
            .await?;
        match there {
            Some(there) if there == document => return Ok(Answer::Done),
            Some(_) => return Err(Refusal::Exists { what: "plan".into(), name: plan.id.0.clone() }.into()),
            None => {}
        }
        sqlx::query(
            "INSERT INTO plans (id, group_name, kind, generation, created_at, document) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&plan.id.0)
        .bind(plan.group.as_str())
        .bind(to_word(&plan.kind))
        .bind(signed(plan.generation.min(i64::MAX as u64)))
        .bind(plan.created_at.0)
        .bind(document)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }

    pub(super) async fn start_run(&mut self, args: &StartRun) -> Applied<Answer> {
        let created =
            Event::Created { run: args.run.clone(), plan: args.plan.id.clone(), plan_digest: args.plan_digest.clone() };
        if let Some(run) = self.find_run(&args.run).await? {
            return self.repeated_event(&args.run, &run, 0, &created).await;
        }
        let group = self.group(&args.plan.group).await?;
        if group.policy.active_active.is_some() {
            let reason = format!("protection group {} is active-active: nothing of it is moved", group.name());
            return Err(Refusal::BadPolicy { reason }.into());
        }
        self.check_no_run(&group).await?;
        if args.plan.ownership_epoch != group.ownership_epoch {
            let (current, asked) = (group.ownership_epoch, args.plan.ownership_epoch);
            return Err(Refusal::OtherEpoch { group: args.plan.group.clone(), current, asked }.into());
        }
        self.store_plan(&args.plan).await?;
        let run_number = self.next_number("run").await?;
        sqlx::query(
            "INSERT INTO runs (id, number, plan, group_name, kind, state, events, started_at, started_by) \
             VALUES (?, ?, ?, ?, ?, 'running', 0, ?, ?)",
        )
        .bind(args.run.as_str())
        .bind(signed(run_number))
        .bind(&args.plan.id.0)
        .bind(args.plan.group.as_str())
        .bind(to_word(&args.plan.kind))
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        self.touch().groups = true;
        self.write_event(&args.run, State::Running, 0, &created).await
    }

    pub(super) async fn append_run_event(&mut self, args: &AppendRunEvent) -> Applied<Answer> {
        let found = self.find_run(&args.run).await?;
        let run = found.ok_or_else(|| Refusal::not_found("run", &args.run))?;
        if args.seq < run.events {
            return self.repeated_event(&args.run, &run, args.seq, &args.event).await;
        }
        if args.seq > run.events {
            return Err(other_event(&args.run, args.seq, &run));
        }
        if run.state.is_terminal() || matches!(args.event, Event::Created { .. }) {
            return Err(Refusal::RunOver { run: args.run.clone(), state: run.state }.into());
        }
        let state = match args.event {
            Event::Resumed if self.is_unwinding(&args.run).await? => State::Unwinding,
            _ => after(run.state, &args.event),
        };
        self.write_event(&args.run, state, args.seq, &args.event).await
    }

    /// Whether an undo was ever started: a run never goes forward again after that.
    async fn is_unwinding(&mut self, run: &RunId) -> Applied<bool> {
        let row =
            sqlx::query("SELECT 1 FROM run_events WHERE run = ? AND document LIKE '{\"event\":\"undo_started\"%'")
                .bind(run.as_str())
                .fetch_optional(&mut *self.connection)
                .await?;
        Ok(row.is_some())
    }

    /// An event that is there already changes nothing; another one in its place is refused.
    async fn repeated_event(&mut self, id: &RunId, run: &RunRow, seq: u64, event: &Event) -> Applied<Answer> {
        let there: Option<String> = sqlx::query_scalar("SELECT document FROM run_events WHERE run = ? AND seq = ?")
            .bind(id.as_str())
            .bind(signed(seq))
            .fetch_optional(&mut *self.connection)
            .await?;
        if there.as_deref() == Some(to_json(event).as_str()) {
            return Ok(Answer::Event { seq, repeated: true });
        }
        Err(other_event(id, seq, run))
    }

    async fn write_event(&mut self, run: &RunId, state: State, seq: u64, event: &Event) -> Applied<Answer> {
        sqlx::query("INSERT INTO run_events (run, seq, at, actor, document) VALUES (?, ?, ?, ?, ?)")
            .bind(run.as_str())
            .bind(signed(seq))
            .bind(self.at.0)
            .bind(self.by)
            .bind(document("event", event)?)
            .execute(&mut *self.connection)
            .await?;
        let ended_at = state.is_terminal().then_some(self.at.0);
        sqlx::query("UPDATE runs SET state = ?, events = ?, ended_at = ? WHERE id = ?")
            .bind(to_word(&state))
            .bind(signed(seq + 1))
            .bind(ended_at)
            .bind(run.as_str())
            .execute(&mut *self.connection)
            .await?;
        if ended_at.is_some() {
            self.touch().groups = true;
        }
        Ok(Answer::Event { seq, repeated: false })
    }

    pub(super) async fn store_report(&mut self, report: &Report) -> Applied<Answer> {
        if self.find_run(&report.run).await?.is_none() {
            return Err(Refusal::not_found("run", &report.run).into());
        }
        let document = document("report", report)?;
        let there = sqlx::query("SELECT final, document FROM reports WHERE run = ?")
            .bind(report.run.as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        if let Some(there) = there {
            let (is_final, same) = (there.try_get("final")?, there.try_get::<&str, _>("document")? == document);
            match (same, is_final) {
                (true, _) => return Ok(Answer::Done),
                (false, true) => return Err(Refusal::ReportFinal { run: report.run.clone() }.into()),
                (false, false) => {}
            }
        }
        sqlx::query(
            "INSERT INTO reports (run, final, revision, stored_at, document) VALUES (?1, ?2, 1, ?3, ?4) \
             ON CONFLICT (run) DO UPDATE SET final = ?2, revision = revision + 1, stored_at = ?3, document = ?4",
        )
        .bind(report.run.as_str())
        .bind(report.standing == Standing::Final)
        .bind(self.at.0)
        .bind(document)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }

    async fn find_run(&mut self, run: &RunId) -> Applied<Option<RunRow>> {
        let row = sqlx::query("SELECT state, events FROM runs WHERE id = ?")
            .bind(run.as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        let read = |row| Ok(RunRow { state: word(&row, "state")?, events: number(&row, "events")? });
        row.map(read).transpose()
    }

    /// How the run stands, unless it is over, and its plan.
    pub(super) async fn run_in_progress(&mut self, run: &RunId) -> Applied<(State, Plan)> {
        let found = self.find_run(run).await?;
        let found = found.ok_or_else(|| Refusal::not_found("run", run))?;
        if found.state.is_terminal() {
            return Err(Refusal::RunOver { run: run.clone(), state: found.state }.into());
        }
        let row = sqlx::query("SELECT document FROM plans WHERE id = (SELECT plan FROM runs WHERE id = ?)")
            .bind(run.as_str())
            .fetch_one(&mut *self.connection)
            .await?;
        Ok((found.state, crate::column::json(&row, "document")?))
    }

    /// Refuses while a run is at work on the group.
    pub(super) async fn check_no_run(&mut self, group: &crate::row::GroupRow) -> Applied<()> {
        let row = sqlx::query("SELECT id FROM runs WHERE group_name = ? AND ended_at IS NULL")
            .bind(group.name().as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        match row {
            Some(row) => Err(Refusal::RunInProgress { group: group.name().clone(), run: text(&row, "id")? }.into()),
            None => Ok(()),
        }
    }
}

/// Where a run stands after an event.
fn after(state: State, event: &Event) -> State {
    match event {
        Event::Finished { outcome } => (*outcome).into(),
        Event::UndoStarted { .. } => State::Unwinding,
        Event::Paused { .. } => State::Paused,
        Event::Resumed => State::Running,
        Event::Created { .. }
        | Event::StepStarted { .. }
        | Event::StepSucceeded { .. }
        | Event::StepFailed { .. }
        | Event::UndoSucceeded { .. }
        | Event::UndoFailed { .. }
        | Event::CancelRequested { .. } => state,
    }
}

fn other_event(run: &RunId, seq: u64, found: &RunRow) -> super::Stop {
    Refusal::OtherEvent { run: run.clone(), seq, events: found.events }.into()
}

pub(super) fn document<T: serde::Serialize>(what: &str, value: &T) -> Applied<String> {
    let document = to_json(value);
    if document.len() > limits::DOCUMENT_BYTES_MAX {
        let what = format!("bytes of a {what}");
        return Err(Refusal::too_many(&what, document.len(), limits::DOCUMENT_BYTES_MAX).into());
    }
    Ok(document)
}
