//! What is printed of a comparison: a table for people, one JSON object for programs.
//!
//! Knows no run.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::super::world::table::{plain, to_the_right};
use super::rows::Row;
use super::{APART_MAX, Measured};
use crate::cli::bench::Spread;
use crate::config::plan::Plan;

/// The version of the object's shape.
const VERSION: u32 = 1;

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn spread(s: &Spread) -> String {
    if s.rounds < 2 {
        return percent(s.median);
    }
    format!("{} ({:.1} to {:.1})", percent(s.median), s.q1 * 100.0, s.q3 * 100.0)
}

fn apart(s: &Spread) -> String {
    if s.rounds < 2 {
        return format!("{:+.1}", s.median);
    }
    format!("{:+.1} ({:+.1} to {:+.1})", s.median, s.q1, s.q3)
}

pub(super) fn table(plan: &Plan, measured: &Measured, out: &mut impl Write) -> io::Result<()> {
    let mut table = plain();
    table.set_header([
        "load",
        "policy",
        "class",
        "live, clients",
        "live, service",
        "simulated",
        "apart",
        "p50 live / sim",
        "p99 live / sim",
    ]);
    for r in &measured.rows {
        table.add_row([
            format!("{}x", r.point.load),
            r.point.policy.word().to_owned(),
            r.priority.to_string(),
            spread(&r.live),
            percent(r.service.median),
            spread(&r.simulated),
            apart(&r.apart),
            format!("{:.0} / {:.0} us", r.p50_us.0, r.p50_us.1),
            format!("{:.0} / {:.0} us", r.p99_us.0, r.p99_us.1),
        ]);
    }
    to_the_right(&mut table, 3);
    writeln!(out, "{table}")?;
    explain(plan, measured, out)
}

fn explain(plan: &Plan, measured: &Measured, out: &mut impl Write) -> io::Result<()> {
    let (c, paces) = (&measured.costs, &measured.paces);
    writeln!(
        out,
        "config {}; {}; on time, of all that was sent; median (quartiles) of {} rounds, each with a world of its own on a core as fast as \
         the live one was then; apart: simulated - live, in points, round by round",
        plan.config,
        measured.driver,
        measured.rows.first().map_or(0, |r| r.live.rounds),
    )?;
    writeln!(
        out,
        "1x is {:.0} packets/s live, {:.0} simulated; a kernel's run took {:.3} of what the config says; by so much less, a message \
         received costs {}, one sent {}; in the runs above \
         all took {:.3} of that ({:.3} to {:.3}); a socket holds {} datagrams",
        c.saturation,
        measured.simulated,
        c.pace,
        c.driver.receive,
        c.driver.send,
        paces.median,
        paces.q1,
        paces.q3,
        measured.socket_buffer,
    )?;
    if measured.again + measured.void > 0 {
        writeln!(
            out,
            "{} runs made again because the machine took more than 2 % of their time; {} of those shown lost that much",
            measured.again, measured.void
        )?;
    }
    let far: Vec<&Row> =
        measured.rows.iter().filter(|r| r.apart.median.abs() > APART_MAX).collect();
    for r in &far {
        let drops = r.dropped.iter().map(|(reason, live, simulated)| {
            format!("{reason} {} / {}", percent(*live), percent(*simulated))
        });
        writeln!(
            out,
            "goal missed: {} at {}x {:+.1} points of {APART_MAX}; dropped live / simulated: {}",
            r.priority,
            r.point.load,
            r.apart.median,
            drops.collect::<Vec<_>>().join(", ")
        )?;
    }
    Ok(())
}

pub(super) fn json(plan: &Plan, measured: &Measured, out: &mut impl Write) -> io::Result<()> {
    let row = |r: &Row| {
        let drops = r.dropped.iter().map(|(reason, live, simulated)| {
            ((*reason).to_owned(), json!({ "live": live, "simulated": simulated }))
        });
        json!({
            "load": r.point.load,
            "policy": r.point.policy.word(),
            "class": r.priority.label(),
            "live": r.live,
            "service": r.service,
            "simulated": r.simulated,
            "apart": r.apart,
            "p50_us": { "live": r.p50_us.0, "simulated": r.p50_us.1 },
            "p99_us": { "live": r.p99_us.0, "simulated": r.p99_us.1 },
            "dropped": drops.collect::<Map<String, Value>>(),
        })
    };
    let c = &measured.costs;
    let object = json!({
        "version": VERSION,
        "config": plan.config,
        "apart_max_points": APART_MAX,
        "saturation": { "live": c.saturation, "simulated": measured.simulated },
        "costs": {
            "receive_ns": c.driver.receive.get(),
            "send_ns": c.driver.send.get(),
            "pace": c.pace,
            "paces": measured.paces,
        },
        "socket_buffer": measured.socket_buffer,
        "again": measured.again,
        "void": measured.void,
        "rows": measured.rows.iter().map(row).collect::<Vec<_>>(),
    });
    writeln!(out, "{object}")
}
