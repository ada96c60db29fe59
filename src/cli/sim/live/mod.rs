//! `punctual sim --live`: one plan twice, by the real service over loopback and under the virtual clock, and how far the two
//! are apart.
//!
//! Knows neither sockets nor worlds: the lab has the first, the room beside this one the second.

mod costs;
mod lab;
mod rows;
mod show;

use std::io;

use anyhow::Context as _;

use super::exit;
use super::world::{Point, build, points, table};
use crate::cli::bench::Spread;
use crate::config::plan::Plan;
use crate::sim::world::{self, Deed, Options};
use costs::Costs;
use lab::{Lab, Ran};
use rows::Row;

/// How far the two may be apart, in points.
const APART_MAX: f64 = 2.0;
/// Offered while costs are measured, in multiples of what a first guess says is possible: always too much, once with few
/// datagrams received for each that is answered and once with many, so that the two costs can be told apart.
const OVER: [f64; 2] = [1.5, 4.0];

/// Everything that was measured.
#[derive(Debug)]
struct Measured {
    costs: Costs,
    /// The core's pace in the runs, over all their steps.
    paces: Spread,
    /// What the simulated service completes where the real one completes [`Costs::saturation`].
    simulated: f64,
    /// Datagrams that one of the service's sockets holds.
    socket_buffer: usize,
    rows: Vec<Row>,
    /// Runs that were made again because the machine took too much of their time, and those that were not.
    again: u32,
    void: u32,
    driver: String,
}

/// Runs both; the answer is the exit code.
pub(super) fn run(plan: &Plan, seed: u64, rounds: u32, json: bool) -> anyhow::Result<u8> {
    let lab = match Lab::new(plan, seed) {
        Ok(lab) => lab,
        Err(why) => {
            tracing::error!("this plan cannot be run live: {why}");
            return Ok(exit::USAGE);
        }
    };
    let measured = measure(&lab, plan, seed, rounds)?;
    let mut out = io::stdout().lock();
    if json {
        show::json(plan, &measured, &mut out)?;
    } else {
        show::table(plan, &measured, &mut out)?;
    }
    let near = measured.rows.iter().all(|r| r.apart.median.abs() <= APART_MAX);
    Ok(if near { exit::DONE } else { exit::MISSED })
}

fn measure(lab: &Lab<'_>, plan: &Plan, seed: u64, rounds: u32) -> anyhow::Result<Measured> {
    let socket_buffer = lab.socket_buffer().context("cannot fill a socket's buffer")?;
    let points = points(plan);
    let mut ran: Vec<Vec<Ran>> = points.iter().map(|_| Vec::new()).collect();
    let mut found = Vec::new();
    // Rounds of all points, each by what is possible in that round: a slow minute of the machine then is neither one
    // point's alone nor another load.
    for round in 0..rounds {
        let costs = costs(lab, plan, round)?;
        for (point, ran) in points.iter().zip(&mut ran) {
            ran.push(lab.run(*point, costs.saturation * point.load, round)?);
        }
        found.push(costs);
    }
    let costs = Costs::middle(&found);
    let (mut rows, mut paces) = (Vec::new(), Vec::new());
    for (point, ran) in points.iter().zip(&ran) {
        let mut world = |(round, ran): (u64, &Ran)| {
            let mut options = simulated(plan, *point, seed + round, &costs, socket_buffer);
            offer(&mut options, ran.rate);
            let pace = lab.pace(ran, &costs);
            paces.extend(pace.iter().map(|(_, factor)| *factor));
            if !pace.is_empty() {
                options.faults.pace = pace;
            }
            let outcome = world::run(&options).context("the plan makes no world")?;
            anyhow::Ok(table::classes_of(&options, &outcome))
        };
        let worlds = (0..).zip(ran).map(&mut world).collect::<anyhow::Result<Vec<_>>>()?;
        rows.extend(rows::of(*point, ran, &worlds));
    }
    Ok(Measured {
        simulated: simulated_saturation(lab, seed, &costs, socket_buffer)?,
        costs,
        paces: Spread::of(paces),
        socket_buffer,
        rows,
        again: ran.iter().flatten().map(|r| r.again).sum(),
        void: ran.iter().flatten().map(|r| u32::from(r.void)).sum(),
        driver: lab.driver(),
    })
}

/// What a datagram costs, by the service's own figures while it is never without work and drops nothing by choice.
fn costs(lab: &Lab<'_>, plan: &Plan, round: u32) -> anyhow::Result<Costs> {
    let guess = 1e9 / (lab.kernel_ns() + f64::from(u32::try_from(plan.costs.each())?));
    let few = lab.saturate(OVER[0] * guess, round)?;
    let many = lab.saturate(OVER[1] * guess, round)?;
    Ok(Costs::solve(&few, &many, plan.costs, lab.kernel_ns()))
}

/// Offers that many packets a second in all, in the plan's shares.
fn offer(options: &mut Options, rate: f64) {
    let by = rate / options.streams.iter().map(|s| s.rate_per_s).sum::<f64>();
    options.streams.iter_mut().for_each(|s| s.rate_per_s *= by);
}

/// The world of a point, at that load of the middle of the rounds' saturation, on a core of the middle of their paces.
fn simulated(plan: &Plan, point: Point, seed: u64, costs: &Costs, socket_buffer: usize) -> Options {
    let mut options = build::options(plan, point, seed);
    offer(&mut options, costs.saturation * point.load);
    options.costs = costs.driver;
    options.link.socket_buffer = socket_buffer;
    options.faults.pace = vec![(crate::base::Nanos::ZERO, costs.pace)];
    // The end is that of the live run: its time, not a number of packets.
    options.packets = u64::MAX;
    options.check_every = 1_000;
    options
}

/// The measurement of saturation once more, under the virtual clock: it shows what the costs are worth.
fn simulated_saturation(
    lab: &Lab<'_>,
    seed: u64,
    costs: &Costs,
    socket_buffer: usize,
) -> anyhow::Result<f64> {
    let plan = lab.saturating();
    let point = Point { policy: plan.policy[0], workers: 1, load: OVER[0] };
    let mut options = simulated(plan, point, seed, costs, socket_buffer);
    options.record = true;
    let outcome = world::run(&options).context("the plan makes no world")?;
    let duration = options.duration.get();
    // As live: not the beginning, while queues fill, and not what is still answered after the last was sent.
    let counted = duration / 20..duration;
    let answers = outcome
        .kept
        .iter()
        .flatten()
        .filter(|e| matches!(e.deed, Deed::OnTime | Deed::Late) && counted.contains(&e.at_ns));
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown without its last digits")]
    Ok(answers.count() as f64 * 1e9 / (counted.end - counted.start) as f64)
}
