//! Every interleaving, within bounds, of the two cells that cross threads. Run with
//! `RUSTFLAGS="--cfg punctual_loom" cargo test --release --test loom`; without that flag there is nothing here. (The flag is our own
//! because under a plain `loom` tokio leaves out its sockets, and what depends on them does not build.)
#![cfg(punctual_loom)]

#[cfg(test)]
mod tests {
    use loom::sync::Arc;
    use loom::thread;
    use punctual::base::{Nanos, PerPriority};
    use punctual::sched::{PlanCell, WorkerPlan};
    use punctual::stats::Board;

    fn model(f: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound.get_or_insert(3);
        builder.check(f);
    }

    /// A plan all of whose fields follow from its generation.
    fn plan(generation: u32) -> WorkerPlan {
        let span = Nanos::new(u64::from(generation));
        WorkerPlan {
            quota: PerPriority::new([generation; 4]),
            total: generation,
            guard: PerPriority::new([span; 4]),
            slice: span,
            generation: u64::from(generation),
        }
    }

    /// One publication and one read: seven words in two versions each are already thousands of executions. That later
    /// publications keep the order is the board's test, whose protocol is the same.
    #[test]
    fn a_plan_is_read_whole() {
        model(|| {
            let cell = Arc::new(PlanCell::new(&plan(1)));
            let writer = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || cell.publish(&plan(2)))
            };
            let got = cell.read(1);
            assert!(got.is_none_or(|got| got == plan(2)), "torn: {got:?}");
            writer.join().unwrap();
            assert_eq!(cell.read(1), Some(plan(2)), "the plan is not lost");
        });
    }

    #[test]
    fn a_board_is_read_whole_and_its_version_tells_which() {
        model(|| {
            let board = Arc::new(Board::new(3));
            let writer = {
                let board = Arc::clone(&board);
                thread::spawn(move || (1..=2).for_each(|n| board.publish(&[n; 3])))
            };
            let mut out = [0; 3];
            for _ in 0..2 {
                if let Some(version) = board.try_read(&mut out) {
                    assert_eq!(out, [version; 3], "torn");
                }
            }
            writer.join().unwrap();
            assert_eq!((board.try_read(&mut out), out), (Some(2), [2; 3]));
        });
    }
}
