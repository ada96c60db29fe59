//! One run: workers turn one after another up to the next act of the control side, until nothing is left.
//!
//! Knows no real time. Workers share nothing but what the control side tells them, so each runs on alone up to that point;
//! a turn that is under way then ends first, as in the service.

use super::START;
use super::check::Checker;
use super::clock::VirtualClock;
use super::control::Control;
use super::driver::VirtualDriver;
use super::law::{Breach, Law};
use super::options::Options;
use super::outcome::{ClassSums, Elsewhere, Outcome};
#[cfg(test)]
use super::planted;
use super::site::{self, Site};
use super::tag::mix;
use super::tally::Tally;
use crate::base::limits::WORKERS_MAX;
use crate::base::{Clock as _, Instant, Nanos, PerPriority, Priority};
use crate::dataplane::offload::{DeviceOptions, Port};
use crate::dataplane::{EventLoop, Order, Own, Shared, Worker};
use crate::sched::WorkerPlan;
use crate::stats::{Counters, Layout};

/// Rounds of each kernel before traffic, and their payload, as in the service.
const WARM_UP_ROUNDS: usize = 40;
const WARM_UP_LEN: usize = 64;
/// While nothing is due a worker that stays awake still looks at the time so often.
const AWAKE_MAX: Nanos = Nanos::from_millis(5);
/// How long after the last send a world may go on before it is told to stop.
const AFTER_MAX: Nanos = Nanos::from_secs(5);

/// Why there is no such world.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongWorld {
    /// Too many workers, or none.
    #[error("{0} workers: 1 to {WORKERS_MAX} are possible")]
    Workers(usize),
    /// Nothing would ever be sent.
    #[error("nothing is offered: no stream has a rate")]
    Nothing,
    /// No worker has a socket for it.
    #[error("no worker takes what `{0}` sends")]
    NotServed(String),
    /// Its ingress would make something else of it.
    #[error("the ingress of `{0}` does not give its datagrams the class that is asked for")]
    NotItsClass(String),
    /// Helpers are shared by workers, and a world's workers share nothing.
    #[error("helpers beside {0} workers: a world has helpers of one worker only")]
    Helpers(usize),
    /// Looking at the time must cost something, or virtual time would stand still.
    #[error("a look at a socket must cost at least 1 ns")]
    FreeLooks,
}

type Turns<'a> = EventLoop<'a, VirtualClock, VirtualDriver>;

/// A worker under way.
struct Cell<'a> {
    turns: Turns<'a>,
    clock: &'a VirtualClock,
    checker: Checker,
    since_check: u32,
    made: u64,
    checks: u64,
}

/// Runs that world to its end, or to the first breach of a law.
///
/// # Errors
/// [`WrongWorld`] when it cannot be built.
pub fn run(options: &Options) -> Result<Outcome, WrongWorld> {
    if options.workers == 0 || options.workers > WORKERS_MAX {
        return Err(WrongWorld::Workers(options.workers));
    }
    if options.service.helpers > 0 && options.workers > 1 {
        return Err(WrongWorld::Helpers(options.workers));
    }
    if options.costs.look == Nanos::ZERO {
        return Err(WrongWorld::FreeLooks);
    }
    if options.streams.iter().all(|s| s.rate_per_s <= 0.0) {
        return Err(WrongWorld::Nothing);
    }
    World::build(options).map(World::run)
}

/// The run with a bug put into it.
#[cfg(test)]
pub(super) fn run_with(options: &Options, planted: super::Planted) -> Outcome {
    let mut wrong = options.clone();
    if planted == super::Planted::WrongAverage {
        wrong.service.ema_weight *= 2;
    }
    let mut world = World::build(&wrong).unwrap();
    for site in &world.sites {
        site.notes.lock().unwrap().weight = f64::from(options.service.ema_weight);
    }
    world.control.planted = Some(planted);
    world.planted = Some(planted);
    world.run()
}

struct World<'o> {
    options: &'o Options,
    sites: Vec<Site>,
    workers: Vec<Worker>,
    slots: usize,
    control: Control,
    shared: Vec<Shared>,
    #[cfg(test)]
    planted: Option<super::Planted>,
}

impl<'o> World<'o> {
    fn build(options: &'o Options) -> Result<Self, WrongWorld> {
        let shares = site::shares(options)?;
        let longest = site::doors(options)?.iter().map(super::door::Door::len).max().unwrap_or(0);
        let layout = Layout::new(options.service.ingresses.len())
            .with_kernels(options.service.kernels.len());
        let control = Control::new(options, layout);
        let own = Own { addresses: vec![], listening: vec![] };
        let (mut sites, mut workers, mut slots) = (Vec::new(), Vec::new(), 0);
        for w in 0..options.workers {
            let mut sockets = site::sockets(options, w);
            let told = site::worker_options(options, w, &mut sockets, longest);
            slots = told.slots;
            workers.push(Worker::new(&told, &own));
            sites.push(Site::new(options, w, &sockets, &shares)?);
        }
        let shared = control.plans().iter().map(|p| Shared::new(layout.words(), p)).collect();
        Ok(Self {
            options,
            sites,
            workers,
            slots,
            control,
            shared,
            #[cfg(test)]
            planted: None,
        })
    }

    fn run(self) -> Outcome {
        let Self { options, sites, workers, slots, mut control, shared, .. } = self;
        let clocks: Vec<VirtualClock> = sites.iter().map(|s| s.clock.clone()).collect();
        let mut cells = Vec::with_capacity(workers.len());
        for (((site, worker), shared), clock) in
            sites.into_iter().zip(workers).zip(&shared).zip(&clocks)
        {
            let Site { driver, kernels, notes, helpers, .. } = site;
            #[cfg(test)]
            let helpers = planted::helpers(self.planted, helpers);
            let kinds = options.service.kernels.len();
            let way = |helper: super::device::Helper| -> (DeviceOptions, Box<dyn Port>) {
                (DeviceOptions::of(helper.device(), kinds), Box::new(helper))
            };
            let mut turns =
                EventLoop::new(clock, driver, worker, kernels, shared, options.service.idle)
                    .with_devices(helpers.into_iter().map(way).collect())
                    .with_batches(site::batches(options));
            turns.warm_up(WARM_UP_LEN.min(options.service.max_datagram), WARM_UP_ROUNDS);
            clock.rest_until(START);
            #[cfg(test)]
            {
                turns.driver_mut().planted = self.planted;
            }
            let ingresses = &options.service.ingresses;
            let loose = ingresses.iter().map(|(i, _)| i.order == Order::None).collect();
            let checker = Checker::new(notes, (slots, options.service.helpers), loose);
            cells.push(Cell { turns, clock, checker, since_check: 0, made: 0, checks: 0 });
        }
        let breach = go_on(options, &mut cells, &mut control, &shared);
        finish(options, cells, &control, breach)
    }
}

/// Until nothing is left and all workers have stopped.
fn go_on(
    options: &Options,
    cells: &mut [Cell<'_>],
    control: &mut Control,
    shared: &[Shared],
) -> Option<Breach> {
    let last = START + options.duration + AFTER_MAX;
    // Half of all runs are told to stop while sockets still hold something.
    let at_once = mix(options.seed, 0x73_746f_7000).is_multiple_of(2);
    let mut stopping = false;
    loop {
        let until = control.due();
        for (w, cell) in cells.iter_mut().enumerate() {
            let plans = &control.published[w];
            if let Err(breach) = cell.go_to(until, options.check_every, plans) {
                return Some(*breach);
            }
        }
        if cells.iter().all(|c| c.turns.finished()) {
            return None;
        }
        control.act(shared);
        if control.breach.is_some() {
            return control.breach.take();
        }
        let over = |c: &mut Cell<'_>| c.is_over(at_once);
        if !stopping && (until >= last || cells.iter_mut().all(over)) {
            stopping = true;
            tell_to_stop(options, cells, shared);
        }
    }
}

fn tell_to_stop(options: &Options, cells: &[Cell<'_>], shared: &[Shared]) {
    for (cell, shared) in cells.iter().zip(shared) {
        let at = cell.clock.now() + options.service.drain;
        shared.stop_at.store(at.as_nanos(), std::sync::atomic::Ordering::Relaxed);
    }
}

impl Cell<'_> {
    /// Whether no more comes; unless it is to be stopped at once, nothing may wait either.
    fn is_over(&mut self, at_once: bool) -> bool {
        let dry = self.turns.driver_mut().is_dry();
        let sent = self.turns.driver_mut().source.peek().is_none();
        if at_once { sent } else { dry && self.turns.worker().is_idle() }
    }

    /// Turns until its clock has passed `until`, and looks at the laws now and then.
    fn go_to(
        &mut self,
        until: Instant,
        every: u32,
        plans: &[WorkerPlan],
    ) -> Result<(), Box<Breach>> {
        while self.clock.now() < until && !self.turns.finished() {
            self.made += 1;
            match self.turns.turn() {
                Ok(Some(rest)) => {
                    let most = self.clock.now() + AWAKE_MAX;
                    self.turns.driver_mut().stay_awake(rest.min(until).min(most));
                }
                Ok(None) => {}
                Err(error) => return Err(self.broken((Law::Running, error.to_string()))),
            }
            self.since_check += 1;
            if every == 1 {
                self.checker.evictions(self.turns.worker()).map_err(|f| self.broken(f))?;
            }
            if self.since_check >= every {
                self.check(plans)?;
            }
        }
        self.check(plans)
    }

    fn check(&mut self, plans: &[WorkerPlan]) -> Result<(), Box<Breach>> {
        self.since_check = 0;
        self.checks += 1;
        let now = self.clock.now();
        if let Some(breach) = self.turns.driver_mut().breach.take() {
            return Err(Box::new(breach));
        }
        let Self { turns, checker, .. } = self;
        let found = checker.look(now, turns.worker(), plans);
        found.map_err(|f| self.broken(f))?;
        let handed = self.turns.driver_mut().tally.handed_all();
        let left = self.turns.driver_mut().tally.answers();
        Checker::agree(self.turns.worker(), handed, left).map_err(|f| self.broken(f))
    }

    /// At the end nothing is in flight, and clients' datagrams are all somewhere.
    fn last_look(&mut self) -> Option<Breach> {
        let driver = self.turns.driver_mut();
        let offered: u64 = driver.source.offered.iter().sum();
        let lost: u64 = driver.source.lost.iter().sum();
        let sum = |f: fn(&super::StreamTally) -> u64| driver.tally.streams.iter().map(f).sum();
        let overflowed: u64 = sum(|s| s.overflowed);
        let handed: u64 = sum(|s| s.handed);
        let there = overflowed + handed + driver.waiting();
        let (copied, duplicates) = (driver.source.copied, driver.source.is_dry());
        if duplicates && offered - lost + copied != there {
            let what = format!(
                "{offered} were sent, {copied} twice, {lost} lost on the way, but {there} came"
            );
            return Some(*self.broken((Law::Conservation, what)));
        }
        if !self.turns.worker().is_idle() {
            return Some(*self.broken((Law::Conservation, "something is left at the end".into())));
        }
        None
    }

    fn broken(&mut self, (law, what): (Law, String)) -> Box<Breach> {
        let worker = self.turns.driver_mut().worker;
        Box::new(Breach::new(law, worker, self.clock.now(), what))
    }
}

fn finish(
    options: &Options,
    cells: Vec<Cell<'_>>,
    control: &Control,
    mut breach: Option<Breach>,
) -> Outcome {
    let layout =
        Layout::new(options.service.ingresses.len()).with_kernels(options.service.kernels.len());
    let mut figures = Counters::new(layout);
    let mut classes = PerPriority::<ClassSums>::default();
    let mut tally = Tally::new(options.streams.len());
    let (mut hash, mut events, mut turns, mut checks, mut unread) = (options.seed, 0, 0, 0, 0);
    let (mut end, mut kept) = (START, Vec::new());
    let mut elsewhere = Elsewhere::default();
    for mut cell in cells {
        if breach.is_none() {
            breach = cell.last_look();
        }
        let counters = cell.turns.worker().counters();
        figures.merge_cells(counters);
        elsewhere.add(counters);
        Priority::ALL.iter().for_each(|p| classes[*p].add(counters, *p));
        turns += cell.made;
        checks += cell.checks;
        end = end.max(cell.clock.now());
        let driver = cell.turns.driver_mut();
        unread += driver.waiting();
        hash = mix(hash, driver.log.hash());
        events += driver.log.events();
        let mut own = driver.tally.clone();
        for (s, stream) in own.streams.iter_mut().enumerate() {
            stream.offered = driver.source.offered[s];
            stream.lost = driver.source.lost[s];
        }
        tally.merge(&own);
        if options.record {
            kept.push(driver.log.take_kept());
        }
    }
    Outcome {
        seed: options.seed,
        hash,
        events,
        breach,
        virtual_time: end.since(START),
        turns,
        checks,
        steps: control.steps,
        tally,
        figures,
        classes,
        elsewhere,
        unread,
        kept,
    }
}
