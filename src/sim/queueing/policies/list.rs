//! Jobs in deadline order, with what they are believed to take: what every deadline policy here keeps.
//!
//! Knows no rule. A sorted vector: queues are some tens to some hundreds long, and every rule looks at all of a prefix.

use crate::base::{Instant, Nanos, Priority};
use crate::sim::queueing::Job;

/// One job in the list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) job: Job,
    /// What it is believed still to take.
    pub(super) left: Nanos,
}

impl Item {
    const fn key(&self) -> (Instant, Priority, u64) {
        (self.job.deadline, self.job.priority, self.job.id)
    }

    /// Value for time: what is given up first has the least.
    pub(super) fn density(&self) -> u64 {
        (u64::from(self.job.value) << 30) / self.left.get().max(1)
    }
}

/// Jobs, earliest deadline first.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    items: Vec<Item>,
}

impl List {
    /// Puts a job in its place, and says which it is.
    pub(super) fn insert(&mut self, item: Item) -> usize {
        let key = item.key();
        let at = self.items.partition_point(|i| i.key() < key);
        self.items.insert(at, item);
        at
    }

    pub(super) fn remove(&mut self, at: usize) -> Item {
        self.items.remove(at)
    }

    pub(super) fn pop_first(&mut self) -> Option<Item> {
        if self.items.is_empty() { None } else { Some(self.items.remove(0)) }
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    pub(super) const fn len(&self) -> usize {
        self.items.len()
    }
}

/// What a server runs, as believed.
#[derive(Clone, Copy, Debug)]
struct Busy {
    item: Item,
    since: Instant,
    /// When its slice ends: until then nobody else can have the server.
    slice_ends: Instant,
    /// Whether it is to be given up when its slice ends.
    doomed: bool,
}

/// What all servers run.
#[derive(Clone, Debug)]
pub(super) struct Running {
    servers: Vec<Option<Busy>>,
}

impl Running {
    pub(super) fn new(servers: usize) -> Self {
        Self { servers: vec![None; servers.max(1)] }
    }

    /// The server is free. Says whether what it ran was to be given up.
    pub(super) fn clear(&mut self, server: usize) -> bool {
        let was = self.servers.get_mut(server).and_then(Option::take);
        was.is_some_and(|b| b.doomed)
    }

    /// What runs under that number is to be given up when its slice ends: its rest no longer stands in line.
    pub(super) fn doom(&mut self, id: u64) -> Option<Job> {
        let busy = self.servers.iter_mut().flatten().find(|b| b.item.job.id == id)?;
        busy.doomed = true;
        Some(busy.item.job)
    }

    pub(super) fn set(&mut self, server: usize, now: Instant, item: Item, slice: Nanos) {
        if let Some(s) = self.servers.get_mut(server) {
            *s = Some(Busy {
                item,
                since: now,
                slice_ends: now + item.left.min(slice),
                doomed: false,
            });
        }
    }

    /// How many servers there are.
    pub(super) const fn servers(&self) -> u64 {
        self.servers.len() as u64
    }

    fn busy(&self) -> impl Iterator<Item = &Busy> {
        self.servers.iter().flatten()
    }

    /// The work of all servers that nobody can have before it.
    pub(super) fn held(&self, now: Instant) -> Nanos {
        self.busy().fold(Nanos::ZERO, |sum, b| sum + b.slice_ends.since(now))
    }

    /// What is to be done after the present slices, with its deadline's place in line.
    fn rests(&self, now: Instant) -> impl Iterator<Item = Item> + '_ {
        self.busy().filter(|b| !b.doomed).filter_map(move |b| {
            let worked = b.slice_ends.since(b.since).max(now.since(b.since));
            let left = b.item.left.saturating_sub(worked);
            (left > Nanos::ZERO).then_some(Item { job: b.item.job, left })
        })
    }
}

/// One step of a walk along the line: who, and when it is done if all goes as believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Its place in the list; `None`: the rest of what runs.
    pub(super) at: Option<usize>,
    pub(super) item: Item,
    pub(super) done: Instant,
}

/// Walks along the line: what waits, and the rests of what runs, in deadline order. On several servers the work before a job
/// is taken to be shared evenly.
pub(super) fn walk(
    now: Instant,
    list: &List,
    running: &Running,
    mut see: impl FnMut(&Step) -> bool,
) {
    let servers = running.servers();
    let mut work = running.held(now);
    let mut rests: Vec<Item> = running.rests(now).collect();
    rests.sort_unstable_by_key(|i| std::cmp::Reverse(i.key()));
    let mut items = list.items().iter().enumerate().peekable();
    loop {
        let rest_first = match (items.peek(), rests.last()) {
            (Some((_, i)), Some(r)) => r.key() < i.key(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let (at, item) = if rest_first {
            let Some(rest) = rests.pop() else { return };
            (None, rest)
        } else {
            let Some((at, item)) = items.next() else { return };
            (Some(at), *item)
        };
        let done = now + Nanos::new(work.get() / servers) + item.left;
        work += item.left;
        if !see(&Step { at, item, done }) {
            return;
        }
    }
}
