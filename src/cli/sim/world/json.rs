//! One JSON object of what was run.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::step::Taken;
use super::table::{ClassRow, classes};
use super::{Done, Many, Missed, Point};
use crate::config::plan::Plan;

/// The version of the object's shape.
const VERSION: u32 = 1;

fn point(point: Point) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("workers".into(), point.workers.into());
    map.insert("load".into(), point.load.into());
    map.insert("policy".into(), point.policy.word().into());
    map
}

fn class(row: &ClassRow) -> Value {
    let dropped: Map<String, Value> =
        row.dropped.iter().map(|(r, n)| (r.label().to_owned(), (*n).into())).collect();
    let at = |q| row.latency.value_at_quantile(q);
    json!({
        "class": row.priority.label(),
        "offered": row.offered,
        "on_time": row.on_time,
        "on_time_share": row.on_time_share(),
        "late": row.late,
        "dropped": dropped,
        "socket_full": row.overflowed,
        "lost_on_link": row.lost,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "p999_us": at(0.999),
    })
}

pub(super) fn single(
    plan: &Plan,
    all: &[Done],
    missed: &[Missed],
    steps: &[Taken],
    out: &mut impl Write,
) -> io::Result<()> {
    let run = |done: &Done| {
        let o = &done.outcome;
        let mut run = point(done.point);
        run.insert("seed".into(), o.seed.into());
        run.insert("hash".into(), format!("{:016x}", o.hash).into());
        run.insert("events".into(), o.events.into());
        run.insert("turns".into(), o.turns.into());
        run.insert("checks".into(), o.checks.into());
        run.insert("virtual_ns".into(), o.virtual_time.get().into());
        run.insert("useful_share".into(), o.useful_share().into());
        let audited = o.audits();
        run.insert("audits".into(), audited.run.into());
        run.insert("audits_in_time".into(), audited.in_time.into());
        run.insert("audited_choices".into(), audited.choices.into());
        run.insert("late_after_admit_ratio".into(), o.late_after_admit().into());
        run.insert("unread".into(), o.unread.into());
        if done.options.service.helpers > 0 {
            run.insert("helpers".into(), json!(o.elsewhere));
        }
        run.insert("breach".into(), json!(o.breach));
        run.insert("classes".into(), classes(done).iter().map(class).collect());
        Value::Object(run)
    };
    let goal = |m: &Missed| {
        let mut goal = point(m.point);
        goal.insert("class".into(), m.goal.priority.label().into());
        goal.insert("on_time_share".into(), m.reached.into());
        goal.insert("wanted".into(), m.goal.on_time.into());
        Value::Object(goal)
    };
    let taken = |t: &Taken| {
        let mut map = point(t.point);
        map.insert("to_load".into(), t.step.load.into());
        map.insert("before_per_ms".into(), t.before.into());
        map.insert("steady_per_ms".into(), t.steady.into());
        map.insert("least_per_ms".into(), t.least.into());
        map.insert("within".into(), t.step.within.into());
        map.insert("recovered_ms".into(), json!(t.recovered_ms));
        map.insert("per_ms".into(), json!(t.course));
        Value::Object(map)
    };
    let object = json!({
        "version": VERSION,
        "config": plan.config,
        "runs": all.iter().map(run).collect::<Vec<_>>(),
        "missed": missed.iter().map(goal).collect::<Vec<_>>(),
        "steps": steps.iter().map(taken).collect::<Vec<_>>(),
    });
    writeln!(out, "{object}")
}

pub(super) fn many(plan: &Plan, seed: u64, all: &[Many], out: &mut impl Write) -> io::Result<()> {
    let one = |m: &Many| {
        let mut map = point(m.point);
        map.insert("seeds".into(), m.fleet.runs.into());
        map.insert("offered".into(), m.fleet.offered.into());
        map.insert("events".into(), m.fleet.events.into());
        map.insert("checks".into(), m.fleet.checks.into());
        map.insert("hash".into(), format!("{:016x}", m.fleet.hash).into());
        map.insert("seconds".into(), m.took.as_secs_f64().into());
        let broken = m.fleet.broken.iter().map(|(seed, b)| json!({ "seed": seed, "breach": b }));
        map.insert("broken".into(), broken.collect());
        Value::Object(map)
    };
    let object = json!({
        "version": VERSION,
        "config": plan.config,
        "first_seed": seed,
        "points": all.iter().map(one).collect::<Vec<_>>(),
    });
    writeln!(out, "{object}")
}
