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

    #[test]
    fn a_plan_is_read_whole_and_never_an_older_one() {
        model(|| {
            let cell = Arc::new(PlanCell::new(&plan(0)));
            let writer = {
                let cell = Arc::clone(&cell);
                thread::spawn(move || (1..=2).for_each(|n| cell.publish(&plan(n))))
            };
            let mut last = 0;
            for _ in 0..2 {
                if let Some(got) = cell.read(last) {
                    assert!(got.generation > last, "went back");
                    last = got.generation;
                    assert_eq!(got, plan(u32::try_from(last).unwrap()), "torn");
                }
            }
            writer.join().unwrap();
            if last != 2 {
                assert_eq!(cell.read(last), Some(plan(2)), "the last plan is not lost");
            }
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
